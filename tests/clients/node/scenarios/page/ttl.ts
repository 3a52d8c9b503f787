await myTask.trigger({ some: "data" }, { ttl: "1h" });
await myTask.trigger({ some: "data" }, { ttl: 3600 }); // seconds
