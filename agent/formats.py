"""In which forms an action gets its parameters and prints its result (pure)."""

from __future__ import annotations

from typing import Literal, get_args

Delivery = Literal["stdin", "file"]
ParameterFormat = Literal["json", "dotenv", "yaml"]
OutputFormat = Literal["text", "json", "yaml", "jsonl"]

DELIVERIES: tuple[str, ...] = get_args(Delivery)
PARAMETER_FORMATS: tuple[str, ...] = get_args(ParameterFormat)
OUTPUT_FORMATS: tuple[str, ...] = get_args(OutputFormat)
