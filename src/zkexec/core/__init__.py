"""The decision core: pure values and one state machine that knows no clock, process or socket."""
