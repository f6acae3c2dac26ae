-- One operation on the state of a key, while nothing else runs on the server.
--
-- KEYS[1]: the key. ARGV: the time in microseconds, or '' for the server's own; the operation; its numbers.
-- A state is stored as numbers with spaces between them, until it expires. The arithmetic is that of operations.py,
-- gcra.py and sliding_window.py; the tests of the backends compare both.

local SLOTS = 10

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function read()
  local state = {}
  for number in string.gmatch(redis.call('GET', KEYS[1]) or '', '%S+') do
    state[#state + 1] = tonumber(number)
  end
  return state
end

local function write(state, expires)
  if expires <= now then
    redis.call('DEL', KEYS[1])
    return
  end
  local texts = {}
  for i, number in ipairs(state) do
    texts[i] = string.format('%.0f', number)
  end
  redis.call('SET', KEYS[1], table.concat(texts, ' '), 'PX', string.format('%.0f', math.ceil((expires - now) / 1000)))
end

local gcra = { size = 1 }

function gcra.emptied_at(policy, part)
  return part[1] and math.min(math.max(part[1], now), now + policy.capacity) or now
end

function gcra.take(policy, part)
  local after = gcra.emptied_at(policy, part) + policy.step
  return after - now <= policy.capacity and { after } or nil
end

function gcra.measure(policy, part)
  local used = gcra.emptied_at(policy, part) - now
  local remaining = math.floor((policy.capacity - used) / policy.step)
  return remaining, used > 0 and used - (policy.limit - remaining - 1) * policy.step or 0
end

function gcra.expiry(policy, part)
  return part[1] or 0
end

local sliding_window = { size = SLOTS + 2 }

function sliding_window.slots(policy, part)
  local current = math.floor(now / policy.step)
  local newest = part[1] or current
  if newest - current > SLOTS then
    newest = current + SLOTS
  end
  local counts, sum = {}, 0
  local passed = math.max(0, current - newest)
  for age = 0, SLOTS do
    counts[age] = age >= passed and part[age - passed + 2] or 0
    sum = sum + counts[age]
  end
  return math.max(newest, current), counts, sum
end

function sliding_window.take(policy, part)
  local newest, counts, sum = sliding_window.slots(policy, part)
  if sum >= policy.limit then
    return nil
  end
  local after = { newest, counts[0] + 1 }
  for age = 1, SLOTS do
    after[age + 2] = counts[age]
  end
  return after
end

function sliding_window.measure(policy, part)
  local newest, counts, sum = sliding_window.slots(policy, part)
  local reset_after = 0
  for age = 0, SLOTS do
    if counts[age] > 0 then
      reset_after = (newest - age + SLOTS + 1) * policy.step - now
    end
  end
  return policy.limit - sum, reset_after
end

function sliding_window.expiry(policy, part)
  return part[1] and (part[1] + SLOTS + 1) * policy.step or 0
end

local algorithms = { ['gcra'] = gcra, ['sliding-window'] = sliding_window }
local operations = {}

function operations.take()
  local state, at, allowed, policies = read(), 1, true, {}
  for i = 3, #ARGV, 3 do
    local policy = { algorithm = algorithms[ARGV[i]], limit = tonumber(ARGV[i + 1]), step = tonumber(ARGV[i + 2]) }
    policy.capacity = policy.step * policy.limit
    policy.part = { unpack(state, at, at + policy.algorithm.size - 1) }
    policy.after = policy.algorithm.take(policy, policy.part)
    allowed = allowed and policy.after ~= nil
    at = at + policy.algorithm.size
    policies[#policies + 1] = policy
  end
  local reply, after, expires = { allowed and 1 or 0 }, {}, 0
  for _, policy in ipairs(policies) do
    local part = allowed and policy.after or policy.part
    reply[#reply + 1], reply[#reply + 2] = policy.algorithm.measure(policy, part)
    expires = math.max(expires, policy.algorithm.expiry(policy, part))
    for _, number in ipairs(part) do
      after[#after + 1] = number
    end
  end
  if allowed then
    write(after, expires)
  end
  return reply
end

local function held()
  local places, state = {}, read()
  for i = 1, #state, 2 do
    if state[i + 1] > now then
      places[#places + 1] = { token = state[i], expires = state[i + 1] }
    end
  end
  return places
end

local function write_places(places)
  local state, expires = {}, 0
  for _, place in ipairs(places) do
    state[#state + 1] = place.token
    state[#state + 1] = place.expires
    expires = math.max(expires, place.expires)
  end
  write(state, expires)
end

function operations.enter()
  local token, limit, expires = tonumber(ARGV[3]), tonumber(ARGV[4]), now + tonumber(ARGV[5])
  local places, mine = held(), nil
  for _, place in ipairs(places) do
    if place.token == token then
      mine = place
    end
  end
  if mine then
    mine.expires = expires
  elseif #places >= limit then
    return { 0, #places }
  else
    places[#places + 1] = { token = token, expires = expires }
  end
  write_places(places)
  return { 1, #places }
end

function operations.leave()
  local token, others = tonumber(ARGV[3]), {}
  for _, place in ipairs(held()) do
    if place.token ~= token then
      others[#others + 1] = place
    end
  end
  write_places(others)
  return {}
end

return operations[ARGV[2]]()
