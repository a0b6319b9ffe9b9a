"""One module for each section of the page, with a function that makes a Section of a Study."""
