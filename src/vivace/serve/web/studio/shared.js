/** What the address of a page says that was opened by a link. */

/**
 * Return the session's `id` as it stands there, the link's `token` or null, and the `page`: watch, steer or clean. What stands behind "#"
 * no server sees; it stays in the address, so that the page may be loaded again.
 */
export function shared() {
  const [page, id] = location.pathname.split("/").slice(-2);
  return { page, id, token: new URLSearchParams(location.hash.slice(1)).get("token") };
}
