/** Puts what a promise comes to where the test reads it. */
export async function show(promise) {
  const result = await promise.catch((error) => ({ error: `${error.name}: ${error.message}` }));
  document.documentElement.dataset.result = JSON.stringify(result);
}
