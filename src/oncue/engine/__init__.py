"""What is true: functions over a transaction, one module per capability, no Engine class.

A function takes ``tx`` first, takes lists, and never commits. The modules form a staircase (see ARCHITECTURE.md): each
imports only what stands below it, so the engine reads as its argument: a trigger may park a parent, a finished run may
settle a wait, a settled wait may take a slot; never back.
"""
