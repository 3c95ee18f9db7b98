"""A simulated BFS line: strips, their motion, their pictures, their defects."""
