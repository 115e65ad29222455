#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "wspool/error.hpp"
#include "wspool/export.hpp"
#include "wspool/fields.hpp"
#include "wspool/proxy.hpp"

namespace wspool {

class metadata_c;

/// A message to send.
struct outgoing_t {
    std::string payload;
    bool is_text = true;
};

/// What a message must be to count as an acknowledgement: it contains `contains`, if that is not
/// empty, and it is JSON for which all of `where` holds, if there is any.
struct acknowledgement_t {
    std::string contains;
    std::vector<condition_t> where;
};

/// What one attempt to connect is made with, where user code makes it.
struct attempt_t {
    std::string uri;
    std::vector<std::pair<std::string, std::string>> additional_headers;
    std::vector<outgoing_t> subscriptions;
    proxy_t proxy;
};

/// User code that takes part in reconnecting.
///
/// Thread rules: called on threads of the library for it, several at once, so it may take its time;
/// `answer` may be called from any thread, once, also later. After `open_timeout`, or when
/// `give_up_after` has passed, an answer counts for nothing: the attempt has failed then with
/// PREPARATION and ETIMEDOUT, and what is done by default is done.
class WSPOOL_API attempt_source_c {
public:
    /// What the attempt is made with, or the error that stands for an attempt that failed.
    using prepared_t = std::function<void(error_ptr, attempt_t)>;
    using judged_t = std::function<void(bool try_again)>;

    virtual ~attempt_source_c() = default;
    [[nodiscard]] virtual bool Prepares() const noexcept = 0;
    [[nodiscard]] virtual bool Judges() const noexcept = 0;
    virtual void Prepare(unsigned attempt, prepared_t answer) = 0;
    /// Whether to try again after `error`. `was_open`: it was open and has ended. `by_default`:
    /// what would be done without a judge.
    virtual void Judge(metadata_c& connection, const error_c& error, bool was_open, bool by_default,
                       judged_t answer) = 0;
};

/// Whether and when a connection that has failed or ended is made again. One that ends because
/// the user closed it never is.
///
/// Without a judge the first connection is given up at once for what trying again will not mend: a
/// certificate that is not accepted, an answer 101 that is no handshake, credentials that a proxy
/// does not accept, HTTP 4xx but 408, 425 and 429. Once it has been open, everything is tried again
/// but error_e::QUEUE_FULL.
///
/// The delay before the n-th attempt in a row is random between 0 and
/// min(max_delay, initial_delay * factor^(n-1)). A Retry-After (RFC 9110 section 10.2.3) of an
/// answer 429 or 503 is honoured up to an hour, by all connections to that host. And to a host at
/// which attempts fail, or are closed within a second, the process makes at most one attempt every
/// 1.2 s, and none while another is under way, however many connections want to; once one stays,
/// two at a time, four, and so on. Only the first attempt of each connection is made at once.
struct reconnect_t {
    using milliseconds = std::chrono::milliseconds;

    bool enabled = false;
    milliseconds initial_delay{1'000};
    milliseconds max_delay{60'000};
    double factor = 2;
    milliseconds stable_after{10'000};  ///< the delays begin anew after so long open
    unsigned max_attempts = 0;          ///< in a row; 0: without bound
    milliseconds give_up_after{0};      ///< without a connection that was ready; 0: never
    bool until_open = false;            ///< only until it is open for the first time
    unsigned failures_before = 0;       ///< of attempts that somebody else has made in a row
};

}  // namespace wspool
