"""One module for each section of the page, with a function that makes a Section from a Study."""
