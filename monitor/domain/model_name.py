"""Model names as Ollama reads them: `[host[:port]/][namespace/]model[:tag]`, compared without case."""

from dataclasses import dataclass
from typing import Self

from monitor.domain.errors import InvalidModelNameError

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
MAX_LENGTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """The parts of a model name; `host` and `namespace` may be the defaults."""

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name as Ollama does; a `:` starts the tag only after the last `/`.

        Raises `InvalidModelNameError` for names that no server could list.
        """
        if not text or len(text) > MAX_LENGTH or not text.isprintable() or " " in text:
            raise InvalidModelNameError(
                f"A model name has 1 to {MAX_LENGTH} printable characters and no blanks, "
                "for example llama3:8b or hf.co/acme/tiny:Q4_K_M."
            )
        path, _, last = text.rpartition("/")
        model, colon, tag = last.partition(":")
        host, _, namespace = path.rpartition("/") if "/" in path else ("", "", path)
        if not model or (colon and not tag) or (path and not namespace) or text.startswith("/"):
            raise InvalidModelNameError(f"{text!r} is not a model name: a part of it is empty.")
        name = cls(
            host=host or DEFAULT_HOST,
            namespace=namespace or DEFAULT_NAMESPACE,
            model=model,
            tag=tag or DEFAULT_TAG,
        )
        if len(str(name)) > MAX_LENGTH:
            raise InvalidModelNameError(f"A model name has at most {MAX_LENGTH} characters, its tag included.")
        return name

    @property
    def key(self) -> str:
        """Equal for two names exactly when Ollama takes them for the same model."""
        return str(self).lower()

    def __str__(self) -> str:
        """Return the short form that lists show: default host and namespace dropped, tag always there."""
        name = f"{self.model}:{self.tag}"
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{name}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{name}"
        return name


def key(text: str) -> str:
    """Return the comparison key of any listed name; a name that cannot be parsed is its own key."""
    try:
        return ModelName.parse(text).key
    except InvalidModelNameError:
        return text.lower()
