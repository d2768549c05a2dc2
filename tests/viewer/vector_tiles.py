"""Decode vector tiles (MVT 2.1) by the specification, as an oracle that shares no code with DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

EARTH = 20_037_508.342789244


class TileFeature(NamedTuple):
    """A feature of a tile: its layer, properties, and the corners of its geometry in pixels of the tile."""

    layer: str
    properties: dict[str, Any]
    points: list[tuple[int, int]]


def decode_tile(data: bytes) -> list[TileFeature]:
    return [feature for number, layer in _iter_fields(data) if number == 3 for feature in _iter_layer(layer)]


def _iter_layer(data: bytes) -> Iterator[TileFeature]:
    fields = [*_iter_fields(data)]
    name = next(value for number, value in fields if number == 1).decode()
    keys = [value.decode() for number, value in fields if number == 3]
    values = [_decode_value(value) for number, value in fields if number == 4]
    for number, value in fields:
        if number == 2:
            parts = dict(_iter_fields(value))
            tags = _decode_numbers(parts.get(2, b""))
            properties = {keys[key]: values[place] for key, place in zip(tags[::2], tags[1::2], strict=True)}
            yield TileFeature(name, properties, _decode_points(_decode_numbers(parts[4])))


def _decode_value(data: bytes) -> Any:
    number, value = next(_iter_fields(data))
    if number == 1:
        return value.decode()
    return bool(value) if number == 7 else value


def _decode_points(commands: list[int]) -> list[tuple[int, int]]:
    points, x, y, place = [], 0, 0, 0
    while place < len(commands):
        command, count = commands[place] & 7, commands[place] >> 3
        place += 1
        for _ in range(count if command in (1, 2) else 0):
            x += _decode_zigzag(commands[place])
            y += _decode_zigzag(commands[place + 1])
            points.append((x, y))
            place += 2
    return points


def _decode_zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _decode_numbers(data: bytes) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        number, place = _read_varint(data, place)
        numbers.append(number)
    return numbers


def _iter_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _read_varint(data, place)
            yield key >> 3, value
        else:
            size, place = _read_varint(data, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
            yield key >> 3, data[place : place + size]
            place += size


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
