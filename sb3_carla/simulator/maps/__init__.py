"""The built-in towns as OpenDRIVE files, and the program that draws them.

- ``Town_Blocks``: city blocks, T- and 4-way junctions with traffic lights, an avenue of two lanes per direction.
- ``Town_Curves``: a smaller, winding town with other distances and angles, to test what was learned elsewhere.
- ``Town_Quarter``: a small quarter of right angles, T-junctions and traffic lights, for the same purpose.
- ``Town_Ring``: a ring road of three lanes per direction with on- and off-ramps.
- ``Town_Hills``: country roads that climb and wind.
- ``Town_Circle``: a roundabout with four streets.
- ``Town_Random1`` to ``Town_Random12``: bent grids of streets, drawn at random.
- ``alignment``: a road's course out of lines, clothoids and arcs; ``network``: roads and junctions as OpenDRIVE;
  ``signals``: their traffic lights, signs and crosswalks;
  ``random_town``: a town drawn at random;
  ``draw``: the built-in towns; ``python -m sb3_carla.simulator.maps.draw`` writes the files again.
"""
