"""Laws that hold for every input: what goes in comes out, in any order of adding up."""
