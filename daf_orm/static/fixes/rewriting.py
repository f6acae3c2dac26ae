"""Rewrite the nodes of a file that fixes name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daf_orm.static.findings import Fix

_OURS: Final = "daf_transaction"
_HOP: Final = "database_sync_to_async"
_LOADERS: Final = frozenset({"select_related", "prefetch_related"})
_ITERATED: Final = frozenset({"for", "comprehension"})
_STATEMENTS: Final = frozenset({"atomic", "async_def"})

Span = tuple[int, int, int, int]


def rewrite(text: str, fixes: Iterable[Fix]) -> str:
    """Return the text with its fixes made; unchanged if LibCST cannot read it."""
    try:
        return _rewritten(cst.parse_module(text), fixes)
    except (cst.ParserSyntaxError, RecursionError):
        return text


def _rewritten(module: cst.Module, fixes: Iterable[Fix]) -> str:
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    rewriter = _Rewriter(fixes)
    changed = wrapper.visit(rewriter)
    context = CodemodContext()
    for owner, name, alias in sorted(rewriter.imports):
        AddImportsVisitor.add_needed_import(context, owner, name, alias or None)
    return AddImportsVisitor(context).transform_module(changed).code


class _Rewriter(cst.CSTTransformer):
    """Finds the nodes by their positions."""

    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self, fixes: Iterable[Fix]) -> None:
        super().__init__()
        self._fixes: dict[Span, list[Fix]] = {}
        self._statements: dict[tuple[int, int], Fix] = {}
        for fix in sorted(fixes, key=lambda each: (each.kind, each.argument)):
            if fix.kind in _STATEMENTS:
                self._statements[fix.line, fix.column] = fix
            else:
                self._fixes.setdefault((fix.line, fix.column, fix.end_line, fix.end_column), []).append(fix)
        self.imports: set[tuple[str, str, str]] = set()
        self.has_hop = False
        """True if the file has a function of that name already: Channels' works as well."""

    def visit_ImportAlias(self, node: cst.ImportAlias) -> None:  # noqa: N802 - LibCST's name
        """Take note of a name that is imported."""
        self.has_hop |= (node.evaluated_alias or node.evaluated_name) == _HOP

    def on_leave(self, original: cst.CSTNode, updated: cst.CSTNode) -> Any:
        """Rewrite a node that has been left, if a fix names it."""
        node = super().on_leave(original, updated)
        if isinstance(original, cst.BaseExpression) and isinstance(node, cst.BaseExpression):
            for fix in self._fixes.get(self._span(original), ()):
                node = self._expression(original, node, fix)
        return node

    def _span(self, node: cst.CSTNode) -> Span:
        position = self.get_metadata(PositionProvider, node)
        return position.start.line, position.start.column, position.end.line, position.end.column

    def _expression(self, original: cst.BaseExpression, node: cst.BaseExpression, fix: Fix) -> cst.BaseExpression:
        if fix.kind in _LOADERS:
            return _method(node, fix.kind, [cst.Arg(cst.SimpleString(f'"{fix.argument}"'))])
        handler = _HANDLERS.get(fix.kind)
        made = handler(self, node, fix) if handler else None
        if made is None:
            return node
        return self._bracketed(original, made) if isinstance(made, cst.Await) else made

    def _bracketed(self, original: cst.BaseExpression, made: cst.Await) -> cst.BaseExpression:
        """Put brackets around an ``await`` of which an attribute, item or power is taken; one is enough."""
        parent = self.get_metadata(ParentNodeProvider, original)
        if isinstance(parent, cst.Await):
            return made.expression
        binds = (
            (isinstance(parent, cst.Attribute | cst.Subscript) and parent.value is original)
            or (isinstance(parent, cst.Call) and parent.func is original)
            or (isinstance(parent, cst.BinaryOperation) and isinstance(parent.operator, cst.Power))
        )
        if binds and not made.lpar:
            return made.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        return made

    # Statements

    def leave_For(self, original_node: cst.For, updated_node: cst.For) -> cst.For:  # noqa: N802 - LibCST's name
        """Make a loop asynchronous."""
        if self._is_iterated(original_node.iter):
            return updated_node.with_changes(asynchronous=cst.Asynchronous())
        return updated_node

    def leave_CompFor(self, original_node: cst.CompFor, updated_node: cst.CompFor) -> cst.CompFor:  # noqa: N802
        """Make a comprehension asynchronous."""
        if self._is_iterated(original_node.iter):
            return updated_node.with_changes(asynchronous=cst.Asynchronous())
        return updated_node

    def _is_iterated(self, node: cst.BaseExpression) -> bool:
        return any(fix.kind in _ITERATED for fix in self._fixes.get(self._span(node), ()))

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> cst.With:  # noqa: N802
        """Replace Django's ``atomic`` by DAF's."""
        if not self._has_statement(original_node, "atomic"):
            return updated_node
        item = updated_node.items[0]
        atomic = cst.Attribute(cst.Name(_OURS), cst.Name("atomic"))
        call = item.item
        call = call.with_changes(func=atomic) if isinstance(call, cst.Call) else cst.Call(atomic)
        self.imports.add(("daf_orm", "transaction", _OURS))
        return updated_node.with_changes(items=[item.with_changes(item=call)], asynchronous=cst.Asynchronous())

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:  # noqa: N802
        """Make a handler a coroutine function."""
        if self._has_statement(original_node, "async_def"):
            return updated_node.with_changes(asynchronous=cst.Asynchronous())
        return updated_node

    def _has_statement(self, node: cst.CSTNode, kind: str) -> bool:
        fix = self._statements.get(self._span(node)[:2])
        return fix is not None and fix.kind == kind


# Expressions


def _method(owner: cst.BaseExpression, name: str, args: list[cst.Arg] | None = None) -> cst.Call:
    return cst.Call(cst.Attribute(_primary(owner), cst.Name(name)), args or [])


def _primary(node: cst.BaseExpression) -> cst.BaseExpression:
    """Return a node such that an attribute of it can follow."""
    if node.lpar or isinstance(node, cst.Name | cst.Attribute | cst.Call | cst.Subscript):
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _awaited(node: cst.BaseExpression) -> cst.Await:
    return cst.Await(node)


def _streamed(rows: cst.BaseExpression) -> cst.BaseExpression:
    """Return ``queryset.aiterator(…)`` of ``queryset.iterator(…)``."""
    if isinstance(rows, cst.Call) and isinstance(rows.func, cst.Attribute):
        return rows.with_changes(func=rows.func.with_changes(attr=cst.Name("aiterator")))
    return rows


def _listed(rows: cst.BaseExpression, fix: Fix) -> cst.BaseExpression:
    """Return the rows of a queryset as a list."""
    if fix.argument == "aiterator":
        rows = _streamed(rows)
    elif fix.argument:
        return _awaited(_method(rows, fix.argument))
    loop = cst.CompFor(target=cst.Name("row"), iter=rows, asynchronous=cst.Asynchronous())
    return cst.ListComp(cst.Name("row"), loop)


def _twin(_: _Rewriter, node: cst.BaseExpression, fix: Fix) -> cst.BaseExpression | None:
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return None
    func = node.func.with_changes(attr=cst.Name(fix.argument))
    return cst.Await(node.with_changes(func=func, lpar=[], rpar=[]), lpar=node.lpar, rpar=node.rpar)


def _function(rewriter: _Rewriter, node: cst.BaseExpression, fix: Fix) -> cst.BaseExpression | None:
    owner, _, name = fix.argument.rpartition(".")
    if not isinstance(node, cst.Call):
        return None
    if isinstance(node.func, cst.Attribute):
        func: cst.BaseExpression = node.func.with_changes(attr=cst.Name(name))
    else:
        rewriter.imports.add((owner, name, ""))
        func = cst.Name(name)
    return cst.Await(node.with_changes(func=func, lpar=[], rpar=[]), lpar=node.lpar, rpar=node.rpar)


def _hop(rewriter: _Rewriter, node: cst.BaseExpression, _fix: Fix) -> cst.BaseExpression | None:
    if not isinstance(node, cst.Call):
        return None
    if not rewriter.has_hop:
        rewriter.imports.add(("daf_orm", _HOP, ""))
    func = cst.Call(cst.Name(_HOP), [cst.Arg(node.func)])
    return cst.Await(node.with_changes(func=func, lpar=[], rpar=[]), lpar=node.lpar, rpar=node.rpar)


def _await(_: _Rewriter, node: cst.BaseExpression, _fix: Fix) -> cst.BaseExpression | None:
    return _awaited(node)


def _list_call(_: _Rewriter, node: cst.BaseExpression, fix: Fix) -> cst.BaseExpression | None:
    is_call = isinstance(node, cst.Call) and len(node.args) == 1 and not node.args[0].star
    return _listed(node.args[0].value, fix) if isinstance(node, cst.Call) and is_call else None


def _argument(_: _Rewriter, node: cst.BaseExpression, fix: Fix) -> cst.BaseExpression | None:
    return _listed(node, fix)


def _iterated(_: _Rewriter, node: cst.BaseExpression, fix: Fix) -> cst.BaseExpression | None:
    return _streamed(node) if fix.argument == "aiterator" else None


def _bool(_: _Rewriter, node: cst.BaseExpression, _fix: Fix) -> cst.BaseExpression | None:
    return _awaited(_method(node, "aexists"))


def _length(_: _Rewriter, node: cst.BaseExpression, _fix: Fix) -> cst.BaseExpression | None:
    return _awaited(_method(node.args[0].value, "acount")) if isinstance(node, cst.Call) and node.args else None


def _item(_: _Rewriter, node: cst.BaseExpression, _fix: Fix) -> cst.BaseExpression | None:
    """Return ``[row async for row in rows[1:][:1]][0]`` of ``rows[1]``: IndexError where there is none."""
    if not isinstance(node, cst.Subscript) or len(node.slice) != 1 or not isinstance(node.slice[0].slice, cst.Index):
        return None
    key, one = node.slice[0].slice.value, cst.Integer("1")
    rows: cst.BaseExpression = node.value
    if not (isinstance(key, cst.Integer) and key.value == "0"):
        rows = cst.Subscript(rows, [cst.SubscriptElement(cst.Slice(lower=key, upper=None))])
    rows = cst.Subscript(rows, [cst.SubscriptElement(cst.Slice(lower=None, upper=one))])
    loop = cst.CompFor(target=cst.Name("row"), iter=rows, asynchronous=cst.Asynchronous())
    fetched = cst.ListComp(cst.Name("row"), loop)
    return cst.Subscript(fetched, [cst.SubscriptElement(cst.Index(cst.Integer("0")))])


def _session_item(_: _Rewriter, node: cst.BaseExpression, _fix: Fix) -> cst.BaseExpression | None:
    if not isinstance(node, cst.Subscript) or len(node.slice) != 1 or not isinstance(node.slice[0].slice, cst.Index):
        return None
    return _awaited(_method(node.value, "aget", [cst.Arg(node.slice[0].slice.value)]))


def _user(_: _Rewriter, node: cst.BaseExpression, _fix: Fix) -> cst.BaseExpression | None:
    return _awaited(_method(node.value, "auser")) if isinstance(node, cst.Attribute) else None


_HANDLERS: Final[dict[str, Callable[[_Rewriter, cst.BaseExpression, Fix], cst.BaseExpression | None]]] = {
    "twin": _twin,
    "function": _function,
    "await": _await,
    "listed": _list_call,
    "argument": _argument,
    "for": _iterated,
    "comprehension": _iterated,
    "bool": _bool,
    "length": _length,
    "hop": _hop,
    "item": _item,
    "session_item": _session_item,
    "auser": _user,
}
