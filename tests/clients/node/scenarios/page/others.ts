await myTask.trigger({ some: "data" }, { maxAttempts: 1 }); // no retries
await yourTask.trigger(payload, { machine: "large-1x" });
await yourTask.trigger(payload, { region: "eu-central-1" });
