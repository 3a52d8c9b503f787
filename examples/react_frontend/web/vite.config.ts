import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// In development Vite serves the page and passes what is for the backend on to it.
export default defineConfig({
  plugins: [react()],
  build: { chunkSizeWarningLimit: 800 }, // most of it are the hooks' schemas
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
});
