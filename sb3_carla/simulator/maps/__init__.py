"""The built-in towns as OpenDRIVE files, and the program that draws them.

- ``Town_Blocks.xodr``: city blocks, T- and 4-way junctions, a two-lane avenue, rounded corners.
- ``Town_Curves.xodr``: a smaller, winding town with other distances and angles, to test what was learned elsewhere.
- ``alignment``: a road's course out of lines, clothoids and arcs; ``network``: roads and junctions as OpenDRIVE;
  ``draw``: the two towns; ``python -m sb3_carla.simulator.maps.draw`` writes the files again.
"""
