// A refusal or a failure, by its stable name.

/**
 * What the hub refused (`code` is a name of its table of errors), or what kept the client from asking:
 * `unreachable`, `not_connected`, `connection_lost`, `token_unavailable`, `closed`, `buffer_full`.
 */
export class HubError extends Error {
  /** Seconds to wait before the same call, where the hub said so (`Retry-After`, RFC 9110, 10.2.3). */
  retryAfter = 0;

  /**
   * @param {string} code stable, for programs
   * @param {string} [detail] for people
   * @param {number} [status] the HTTP status, 0 if there was no answer, undefined if this was not a request
   */
  constructor(code, detail, status) {
    super(detail ? `${code}: ${detail}` : code);
    this.name = "HubError";
    this.code = code;
    this.detail = detail ?? "";
    this.status = status;
  }

  /** Whether the same call may succeed later without anybody mending it. */
  get temporary() {
    return this.status !== undefined && (this.status === 0 || this.status === 429 || this.status >= 500);
  }
}
