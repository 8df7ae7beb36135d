"""What is done about a backend that fails: its breaker, its policy of time-outs and retries, and hedges."""
