await summarizeChat.trigger(
  { conversationId: "123" },
  {
    debounce: {
      key: "conversation-123",
      delay: "10s",
      maxDelay: "5m", // Always run within 5 minutes of first trigger
    },
  }
);
