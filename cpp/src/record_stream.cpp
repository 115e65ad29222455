#include "wspool/record_stream.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "wspool/metadata.hpp"
#include "wspool/record_picker.hpp"

namespace wspool {
namespace {

using clock = std::chrono::steady_clock;
using batch_ptr = std::shared_ptr<const record_batch_t>;

/// A batch with so much text is finished, whatever its rows.
constexpr std::size_t most_bytes = std::size_t{32} << 20U;
// Of large messages most of the work is to read them, so a read's stay in the processor's second
// cache from the system's copy to the picking. Of small ones it is what each read costs.
constexpr std::size_t large_message = 1024;
constexpr std::size_t read_of_large = 192 * 1024;

}  // namespace

/// Who owns what: a lane's mutex guards its picker, and is held while a read's messages are picked;
/// mutex_ guards the rest and is held for moments. It is taken under a lane's, never the other way
/// round. No lock is held while anything outside is called, but for the ready list.
class record_stream_c::impl {
public:
    struct lane {
        explicit lane(std::shared_ptr<const field_set_c> fields) : picker(std::move(fields)) {}
        std::mutex mutex;
        // Guarded by mutex.
        record_picker_c picker;
        std::vector<std::pair<std::string, std::uint32_t>> generations;  // of feeds only
        std::vector<std::pair<std::string, event_t>> events;             // for the next batch
        /// When the oldest row that is not in a batch was picked, or event came; 0: there is none.
        std::atomic<clock::rep> since{0};
    };

    impl(std::shared_ptr<const field_set_c> given, const record_stream_options_t& wanted,
         std::shared_ptr<ready_list_c> list, std::uint64_t posted)
        : fields(std::move(given)),
          options(wanted),
          ready_list(std::move(list)),
          number(posted),
          lanes(std::max<std::size_t>(options.lanes, 1)) {
        for (auto& one : lanes) one = std::make_unique<lane>(fields);
    }

    sink_c::verdict_e take(lane& into, std::uint32_t label, std::size_t connection,
                           const message_view_t* messages, std::size_t count);
    void finish(lane& of, std::size_t field);
    void drop_oldest(batch_ptr& latest);
    void happened(lane& at, const std::string& label, const event_t& event);
    void finish_due(lane& of);
    bool pop(batch_ptr& batch, std::unique_lock<std::mutex>& lock);
    found_e try_take(batch_ptr& batch);
    void wake_consumer();  // mutex_ is held
    [[nodiscard]] std::optional<clock::rep> oldest() const;
    sink_c::verdict_e verdict(const std::weak_ptr<metadata_c>& connection);
    bool drop_if_full(std::size_t messages);
    void opened();
    void ended(bool was_opened);

    const std::shared_ptr<const field_set_c> fields;
    const record_stream_options_t options;
    const std::shared_ptr<ready_list_c> ready_list;
    const std::uint64_t number;
    std::vector<std::unique_ptr<lane>> lanes;  // constant

    mutable std::mutex mutex;
    std::condition_variable changed;
    std::deque<batch_ptr> finished;
    std::deque<unmatched_t> unmatched;
    std::vector<std::weak_ptr<metadata_c>> paused;
    std::size_t sinks = 0;
    std::size_t open = 0;  // or ended
    std::size_t over = 0;  // ended
    bool waiting = false;
    bool armed = false;
    record_statistics_t statistics;
};

/// Takes what one connection receives. Every call is on its endpoint's thread.
class record_sink_c final : public sink_c {
public:
    record_sink_c(std::shared_ptr<record_stream_c::impl> stream, record_stream_c::impl::lane& lane,
                  std::uint32_t label, std::size_t number, std::string text)
        : stream_(std::move(stream)),
          lane_(lane),
          label_(label),
          number_(number),
          text_(std::move(text)) {}

    void On_open(metadata_c& connection) noexcept override {
        connection_ = connection.shared_from_this();
        opened_ = true;
        stream_->opened();
    }
    [[nodiscard]] std::size_t Read_size() const noexcept override {
        return has_large_ ? read_of_large : sink_c::Read_size();
    }
    verdict_e On_messages(incoming_t& incoming) noexcept override {
        has_large_ = incoming.bytes / incoming.count >= large_message;
        return take(incoming.messages, incoming.count);
    }
    verdict_e On_piece(const message_view_t& piece, std::string&& /*storage*/) noexcept override {
        return take(&piece, 1);
    }
    void On_closing() noexcept override { closing_ = true; }
    void On_room() noexcept override {}
    void On_event(const event_t& event) noexcept override {
        try {
            stream_->happened(lane_, text_, event);
        } catch (const std::exception&) {
            return;  // there was no memory; the rows themselves are there
        }
    }
    void On_end() noexcept override { stream_->ended(opened_); }

private:
    verdict_e take(const message_view_t* messages, std::size_t count) noexcept {
        try {
            // While closing, reading is not paused any more.
            if (closing_ && stream_->drop_if_full(count)) return verdict_e::GO_ON;
            stream_->take(lane_, label_, number_, messages, count);
            if (!closing_) return stream_->verdict(connection_);
        } catch (const std::exception&) {
            return verdict_e::FAIL;  // there was no memory
        }
        return verdict_e::GO_ON;
    }

    const std::shared_ptr<record_stream_c::impl> stream_;
    record_stream_c::impl::lane& lane_;
    const std::uint32_t label_;
    const std::size_t number_;
    const std::string text_;  // of the label
    std::weak_ptr<metadata_c> connection_;
    bool has_large_ = false;  // the messages of the last read
    bool opened_ = false;
    bool closing_ = false;
};

void record_stream_c::impl::wake_consumer() {
    if (std::exchange(armed, false) && ready_list) ready_list->Post(number);
    if (waiting) changed.notify_one();
}

bool record_stream_c::impl::drop_if_full(std::size_t messages) {
    const std::lock_guard lock(mutex);
    if (finished.size() < options.max_batches) return false;
    statistics.messages += messages;
    statistics.dropped += messages;
    return true;
}

void record_stream_c::impl::opened() {
    const std::lock_guard lock(mutex);
    ++open;
    changed.notify_all();
    wake_consumer();
}

void record_stream_c::impl::ended(bool was_opened) {
    const std::lock_guard lock(mutex);
    if (!was_opened) ++open;
    ++over;
    changed.notify_all();
    wake_consumer();
}

sink_c::verdict_e record_stream_c::impl::take(lane& into, std::uint32_t label,
                                              std::size_t connection,
                                              const message_view_t* messages, std::size_t count) {
    using outcome_e = record_picker_c::outcome_e;
    const std::size_t sets = fields->Fields().size();
    std::vector<unmatched_t> left;
    std::uint64_t not_matching = 0;
    std::uint64_t not_json = 0;
    {
        const std::lock_guard turn(into.mutex);
        for (const auto* message = messages; message != messages + count; ++message) {
            const outcome_e outcome = into.picker.Pick(*message, label);
            if (outcome == outcome_e::MATCHED) {
                for (std::size_t i = 0; i < sets; ++i)
                    if (into.picker.Rows(i) >= options.batch_rows ||
                        into.picker.Bytes(i) >= most_bytes)
                        finish(into, i);
                continue;
            }
            ++(outcome == outcome_e::NOT_JSON ? not_json : not_matching);
            if (options.kept_unmatched != 0)
                left.push_back({std::string(message->payload), message->received_ns,
                                message->is_text, outcome == outcome_e::UNMATCHED, connection});
        }
        bool has_rows = false;
        for (std::size_t i = 0; i < sets && !has_rows; ++i) has_rows = into.picker.Rows(i) != 0;
        if (!has_rows && into.events.empty()) {
            into.since.store(0);
        } else if (into.since.load() == 0) {
            into.since.store(clock::now().time_since_epoch().count());
            const std::lock_guard lock(mutex);
            wake_consumer();  // who has to wait no longer than max_delay from now on
        }
    }
    const std::lock_guard lock(mutex);
    statistics.messages += count;
    statistics.unmatched += not_matching;
    statistics.not_json += not_json;
    for (auto& one : left) {
        if (unmatched.size() == options.kept_unmatched) {
            unmatched.pop_front();
            ++statistics.unmatched_dropped;
        }
        unmatched.push_back(std::move(one));
    }
    if (!left.empty()) wake_consumer();
    return sink_c::verdict_e::GO_ON;
}

/// The lane's mutex is held.
void record_stream_c::impl::finish(lane& of, std::size_t field) {
    batch_ptr batch = of.picker.Finish(field);
    if (of.events.empty()) of.since.store(0);
    const std::lock_guard lock(mutex);
    ++statistics.batches;
    statistics.rows += batch->rows;
    const bool is_full = finished.size() >= options.max_batches;
    if (is_full && options.overflow == overflow_e::DROP_NEWEST) {
        statistics.dropped += batch->rows;
        return;  // events stay for the next, and are waited for
    }
    of.since.store(0);
    if (!of.generations.empty() || !of.events.empty()) {
        auto told = std::make_shared<record_batch_t>(*batch);
        told->generations = of.generations;
        told->events = std::exchange(of.events, {});
        batch = std::move(told);
    }
    if (is_full && options.overflow == overflow_e::DROP_OLDEST) drop_oldest(batch);
    finished.push_back(std::move(batch));
    wake_consumer();
}

/// What happened is told all the same: by the batch behind it. mutex is held.
void record_stream_c::impl::drop_oldest(batch_ptr& latest) {
    const batch_ptr dropped = std::move(finished.front());
    finished.pop_front();
    statistics.dropped += dropped->rows;
    if (dropped->events.empty()) return;
    batch_ptr& behind = finished.empty() ? latest : finished.front();
    auto told = std::make_shared<record_batch_t>(*behind);
    told->events.insert(told->events.begin(), dropped->events.begin(), dropped->events.end());
    behind = std::move(told);
}

sink_c::verdict_e record_stream_c::impl::verdict(const std::weak_ptr<metadata_c>& connection) {
    const bool pauses = options.overflow == overflow_e::PAUSE;
    if (!pauses && options.overflow != overflow_e::FAIL) return sink_c::verdict_e::GO_ON;
    const std::lock_guard lock(mutex);
    if (finished.size() < options.max_batches) return sink_c::verdict_e::GO_ON;
    if (!pauses) return sink_c::verdict_e::FAIL;
    paused.push_back(connection);
    return sink_c::verdict_e::PAUSE;
}

/// mutex is held by `lock`, and let go where reading goes on.
bool record_stream_c::impl::pop(batch_ptr& batch, std::unique_lock<std::mutex>& lock) {
    if (finished.empty()) return false;
    batch = std::move(finished.front());
    finished.pop_front();
    if (paused.empty() || finished.size() > options.max_batches / 2) return true;
    const auto stopped = std::exchange(paused, {});
    lock.unlock();
    for (const auto& one : stopped)
        if (const auto connection = one.lock()) connection->Resume_reading();
    return true;
}

std::optional<clock::rep> record_stream_c::impl::oldest() const {
    std::optional<clock::rep> result;
    for (const auto& one : lanes) {
        const clock::rep since = one->since.load();
        if (since != 0 && (!result || since < *result)) result = since;
    }
    return result;
}

void record_stream_c::impl::finish_due(lane& of) {
    const std::lock_guard turn(of.mutex);
    for (std::size_t i = 0; i < fields->Fields().size(); ++i)
        if (of.picker.Rows(i) != 0) finish(of, i);
    if (!of.events.empty()) finish(of, 0);
    if (of.events.empty()) of.since.store(0);
}

/// Something happened to a feed: rows from before are a batch of their own.
void record_stream_c::impl::happened(lane& at, const std::string& label, const event_t& event) {
    const std::lock_guard turn(at.mutex);
    for (std::size_t i = 0; i < fields->Fields().size(); ++i)
        if (at.picker.Rows(i) != 0) finish(at, i);
    if (event.kind == event_t::kind_e::OPENED) {
        auto known = std::find_if(at.generations.begin(), at.generations.end(),
                                  [&](const auto& one) { return one.first == label; });
        if (known == at.generations.end())
            at.generations.emplace_back(label, event.generation);
        else
            known->second = event.generation;
    }
    if (!options.takes_events) return;
    at.events.emplace_back(label, event);
    if (at.since.load() == 0) at.since.store(clock::now().time_since_epoch().count());
    const std::lock_guard lock(mutex);
    wake_consumer();
}

record_stream_c::found_e record_stream_c::impl::try_take(batch_ptr& batch) {
    bool is_over = false;
    {
        std::unique_lock lock(mutex);
        if (pop(batch, lock)) return found_e::BATCH;
        is_over = over == sinks;
    }
    const auto now = clock::now().time_since_epoch();
    const auto delay = std::chrono::duration_cast<clock::duration>(options.max_delay).count();
    for (const auto& one : lanes) {
        const clock::rep since = one->since.load();
        if (since != 0 && (is_over || now.count() - since >= delay)) finish_due(*one);
    }
    std::unique_lock lock(mutex);
    if (pop(batch, lock)) return found_e::BATCH;
    return is_over && !oldest() ? found_e::END : found_e::NOTHING;
}

record_stream_c::record_stream_c(std::shared_ptr<const field_set_c> fields,
                                 const record_stream_options_t& options,
                                 std::shared_ptr<ready_list_c> ready, std::uint64_t number)
    : impl_(std::make_shared<impl>(std::move(fields), options, std::move(ready), number)) {}

record_stream_c::~record_stream_c() = default;

std::shared_ptr<sink_c> record_stream_c::New_sink(std::string_view label, std::size_t lane) {
    impl::lane& into = *impl_->lanes[lane % impl_->lanes.size()];
    std::uint32_t first = 0;
    for (const auto& one : impl_->lanes) {
        // The same numbers in all lanes.
        const std::lock_guard turn(one->mutex);
        first = one->picker.Add_connection(label);
    }
    const std::lock_guard lock(impl_->mutex);
    return std::make_shared<record_sink_c>(impl_, into, first, impl_->sinks++, std::string(label));
}

record_stream_c::found_e record_stream_c::Take(batch_ptr& batch) { return impl_->try_take(batch); }

record_stream_c::found_e record_stream_c::Take_within(std::chrono::nanoseconds timeout,
                                                      batch_ptr& batch) {
    const auto until = clock::now() + timeout;
    while (true) {
        const found_e found = impl_->try_take(batch);
        if (found != found_e::NOTHING || clock::now() >= until) return found;
        auto wake = until;
        std::unique_lock lock(impl_->mutex);
        if (!impl_->finished.empty()) continue;
        if (impl_->over == impl_->sinks || !impl_->unmatched.empty()) return found_e::NOTHING;
        const auto oldest = impl_->oldest();
        if (oldest) {
            const auto due = clock::time_point(clock::duration(*oldest)) +
                             std::chrono::duration_cast<clock::duration>(impl_->options.max_delay);
            wake = std::min(wake, due);
        }
        impl_->waiting = true;
        impl_->changed.wait_until(lock, wake);
        impl_->waiting = false;
    }
}

bool record_stream_c::Arm(change_e change) {
    const std::lock_guard lock(impl_->mutex);
    const bool is_over = impl_->over == impl_->sinks;
    const bool is_takable = !impl_->finished.empty() || !impl_->unmatched.empty() || is_over;
    if (change == change_e::TAKABLE && is_takable) return false;
    if (change == change_e::OPENED && impl_->open == impl_->sinks) return false;
    if (change == change_e::OVER && is_over) return false;
    impl_->armed = true;
    return true;
}

std::size_t record_stream_c::Ended() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->over;
}

bool record_stream_c::Is_over() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->over == impl_->sinks;
}

std::optional<std::chrono::nanoseconds> record_stream_c::Due_in() const {
    const auto oldest = impl_->oldest();
    if (!oldest) return {};
    const auto due = clock::time_point(clock::duration(*oldest)) +
                     std::chrono::duration_cast<clock::duration>(impl_->options.max_delay);
    return std::max<std::chrono::nanoseconds>(due - clock::now(), std::chrono::nanoseconds(0));
}

bool record_stream_c::Wait_opened(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(impl_->mutex);
    return impl_->changed.wait_for(lock, timeout, [&] { return impl_->open == impl_->sinks; });
}

bool record_stream_c::Are_opened() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->open == impl_->sinks;
}

std::vector<unmatched_t> record_stream_c::Take_unmatched() {
    const std::lock_guard lock(impl_->mutex);
    std::vector<unmatched_t> result(std::make_move_iterator(impl_->unmatched.begin()),
                                    std::make_move_iterator(impl_->unmatched.end()));
    impl_->unmatched.clear();
    return result;
}

bool record_stream_c::Has_unmatched() const {
    const std::lock_guard lock(impl_->mutex);
    return !impl_->unmatched.empty();
}

record_statistics_t record_stream_c::Statistics() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->statistics;
}

}  // namespace wspool
