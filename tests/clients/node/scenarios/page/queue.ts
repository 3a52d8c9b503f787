await generatePullRequest.trigger(data, {
  queue: {
    name: "main-branch",
    concurrencyLimit: 10,
  },
});
