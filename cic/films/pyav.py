"""Names of PyAV's types, for annotations alone.

They are Any. PyAV is optional, so nothing may be imported from it here: functions take the module
`av` that `rewrite` imported. Besides, each release since 16 has other hints of its own.
"""

from typing import Any, TypeAlias

Pyav: TypeAlias = Any  # the module itself
Container: TypeAlias = Any  # av.container.InputContainer or OutputContainer
Stream: TypeAlias = Any  # av.stream.Stream, of whichever kind
Packet: TypeAlias = Any  # av.Packet
VideoFrame: TypeAlias = Any  # av.VideoFrame
AudioFrame: TypeAlias = Any  # av.AudioFrame
Graph: TypeAlias = Any  # av.filter.Graph
Codec: TypeAlias = Any  # av.Codec, or a context of one
Form: TypeAlias = tuple[int, Any]  # samples a second, and av.AudioLayout
