"""Rewrites the ``tests/generic_views`` of Django for async views: overrides of the views, and calls of the tests.

In a view, handlers and the hooks that are coroutines with us become coroutine functions, and their calls are awaited,
as is a manager's ``get()`` in them.
In a test, whatever a call returns that is to be awaited is run to its end. Nothing else is changed.
"""

import ast
import inspect

from asgiref.sync import async_to_sync

from daf_views.generic.hooks import COROUTINES

ASYNC = {*COROUTINES, "get", "post", "dispatch"}
IMPORT = f"from {__name__} import finish\n"


def rewrite(source: str) -> str:
    return IMPORT + ast.unparse(ast.fix_missing_locations(Classes().visit(ast.parse(source))))


def finish(value):
    """Run a coroutine; return anything else unchanged."""
    return async_to_sync(_wait)(value) if inspect.iscoroutine(value) else value


async def _wait(coroutine):
    return await coroutine


class Classes(ast.NodeTransformer):
    def visit_ClassDef(self, node):
        if node.name.endswith(("Test", "Tests")):
            return Calls().visit(node)
        node.body = [_as_async(each) if getattr(each, "name", None) in ASYNC else each for each in node.body]
        return node


class Calls(Classes):
    def visit_ClassDef(self, node):
        if node.name.endswith(("Test", "Tests")):
            self.generic_visit(node)
            return node
        return Classes().visit(node)  # a view within a test

    def visit_FunctionDef(self, node):
        node.body = [self.visit(each) for each in node.body]  # not its decorators
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        return node if _name(node.func) == "super" else ast.Call(ast.Name("finish", ast.Load()), [node], [])


class Awaits(ast.NodeTransformer):
    def visit_Call(self, node):
        self.generic_visit(node)
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in ASYNC
        receiver = node.func.value if is_method else None
        if isinstance(receiver, ast.Attribute) and receiver.attr == "objects":  # a manager's get()
            node.func.attr = "aget"
            return ast.Await(node)
        is_own = _name(receiver) == "self" or (isinstance(receiver, ast.Call) and _name(receiver.func) == "super")
        return ast.Await(node) if is_own else node


def _as_async(function):
    node = Awaits().visit(function)
    return ast.AsyncFunctionDef(**{field: getattr(node, field) for field in node._fields})


def _name(node):
    return node.id if isinstance(node, ast.Name) else None
