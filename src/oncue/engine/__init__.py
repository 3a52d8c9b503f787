"""What is true: functions over a transaction, one module per capability."""
