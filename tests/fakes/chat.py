"""What a server answers to a prompt, natively and in OpenAI's way: the last words of the prompt, once more."""

import json
from typing import Any

NATIVE_PATH, OPENAI_PATH = "/api/chat", "/v1/chat/completions"
AT = "2026-08-01T09:00:00.123456789Z"


def answer(path: str, body: bytes) -> bytes:
    """Return the whole answer, not streamed."""
    question = json.loads(body)
    message = {"role": "assistant", "content": f"{question['model']} says: {question['messages'][-1]['content']}"}
    document: dict[str, Any] = {"model": question["model"]}
    if path == NATIVE_PATH:
        document |= {"created_at": AT, "message": message, "done": True, "done_reason": "stop"}
    else:
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        document |= {"id": "chatcmpl-1", "object": "chat.completion", "created": 1785574800, "choices": [choice]}
    return json.dumps(document).encode()
