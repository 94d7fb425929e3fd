"""Whether the servers of `[cluster]` answer. No message holds a password."""

from __future__ import annotations

from urllib.parse import urlsplit

PATIENCE_S = 5


def database_fault(url: str) -> str:
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = sa.create_engine(by_psycopg2(url), connect_args={"connect_timeout": PATIENCE_S}, poolclass=sa.NullPool)
        engine.connect().close()
    except SQLAlchemyError as error:
        return f"[cluster] database: PostgreSQL at {without_password(url)} cannot be used: {_first_line(error)}"
    return ""


def by_psycopg2(url: str) -> str:
    """The address for SQLAlchemy: by the driver that dagster-postgres is written for."""
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def broker_fault(url: str) -> str:
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=PATIENCE_S, socket_timeout=PATIENCE_S).ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return f"[cluster] broker: Redis at {without_password(url)} cannot be used: {_first_line(error)}"
    return ""


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
