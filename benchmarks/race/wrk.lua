-- Requests with the primary key of another book each, and the figures as one line of JSON.
local path, body, cookie = os.getenv("RACE_PATH"), os.getenv("RACE_BODY"), os.getenv("RACE_COOKIE")
local books, number = tonumber(os.getenv("RACE_BOOKS")), 0

wrk.method = os.getenv("RACE_METHOD")
if body ~= "" then
  wrk.body = body
  wrk.headers["Content-Type"] = "application/json"
end
if cookie ~= "" then
  wrk.headers["Cookie"] = cookie
end

function request()
  number = number % books + 1
  return wrk.format(nil, (path:gsub("{pk}", tostring(number))))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RACE {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout
  ))
end
