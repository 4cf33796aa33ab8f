"""CARLA 0.9.16's wire format without any input or output: bytes in, values out, and back.

- :mod:`~sb3_carla.simulator.wire.layouts`: every binary layout, declared once.
- :mod:`~sb3_carla.simulator.wire.rpc`: msgpack-rpc requests and the ``Response`` wrapper of the replies.
- :mod:`~sb3_carla.simulator.wire.streams`: tokens, the handshake and the framing of the streaming port.
- :mod:`~sb3_carla.simulator.wire.values`: the struct-like values inside requests and replies.
"""
