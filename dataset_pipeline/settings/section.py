"""What every section of the settings has in common: strict types, and a hash of what counts for a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.settings.query import QueryError, parse

CONTENT = "content"  # the key of a section's files among its values


class SettingsError(PermanentError, ValueError):
    """A settings file that cannot be used; the message names the file, the key, the value and the allowed range."""


@dataclass(frozen=True)
class NoResult:
    """Marks a field, as `Annotated[..., NO_RESULT]`, that changes how, where or how fast something is made and not what
    comes out: it counts for no version."""


NO_RESULT = NoResult()
COUNTED: Any = object()  # the context in which a section is written without what is marked


class Section(BaseModel):
    """One table of the settings file, or of tables inside of it. Every field counts for the versions of what reads the
    section, but for those marked NO_RESULT."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def content(self) -> str:
        """A hash of the files that the section names, where their content counts; else empty."""
        return ""

    def counted(self) -> dict[str, Any]:
        """What counts for a version, as plain JSON: the fields without those marked NO_RESULT, here and in nested
        tables, and the hash of the section's files as `content` if it names any."""
        content = self.content()
        return self.model_dump(mode="json", context=COUNTED) | ({CONTENT: content} if content else {})

    @classmethod
    def marked(cls) -> frozenset[str]:
        """The fields of this table itself that count for no version."""
        return frozenset(
            name for name, it in cls.model_fields.items() if any(isinstance(m, NoResult) for m in it.metadata)
        )

    @model_serializer(mode="wrap")
    def _without_marked(self, write: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        written = write(self)
        if info.context is not COUNTED:
            return written
        return {name: value for name, value in written.items() if name not in self.marked()}


class NamedQuery(Section):
    """A question about the tags of images, with a name for those for which it holds."""

    name: Annotated[str, Field(min_length=1)]
    query: str

    @field_validator("query")
    @classmethod
    def _can_be_parsed(cls, query: str) -> str:
        try:
            parse(query)
        except QueryError as error:
            raise ValueError(error.reason) from None
        return query
