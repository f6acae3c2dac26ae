"""The same four pieces of work without Django: FastAPI, and SQLAlchemy's ORM on an asynchronous driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.catalog import sqlalchemy_work as work

if TYPE_CHECKING:
    from collections.abc import Mapping


def application(driver: str, database: Mapping[str, str]) -> FastAPI:
    """Return an application whose requests have a session each, of a pool as large as DAF's."""
    app = FastAPI()
    add_catalog(app, session_maker(driver, database))
    return app


def session_maker(driver: str, database: Mapping[str, str]) -> async_sessionmaker[AsyncSession]:
    """Return what makes sessions."""
    engine = create_async_engine(work.url_of(driver, database), **work.POOL)
    return async_sessionmaker(engine, expire_on_commit=False)


def add_catalog(app: FastAPI, sessions: async_sessionmaker[AsyncSession]) -> None:
    """Add the four pieces of work."""

    @app.get("/one/{pk}")
    async def one(pk: int) -> JSONResponse:
        async with sessions() as session:
            return JSONResponse(await work.one(session, pk))

    @app.get("/many")
    async def many() -> JSONResponse:
        async with sessions() as session:
            return JSONResponse(await work.many(session))

    @app.get("/gathered/{pk}")
    async def gathered(pk: int) -> JSONResponse:
        return JSONResponse(await work.gathered(sessions, pk))

    @app.get("/change/{pk}")
    async def change(pk: int) -> JSONResponse:
        async with sessions() as session:
            return JSONResponse(await work.change(session, pk))
