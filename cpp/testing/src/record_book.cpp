#include "record_book.hpp"

#include <algorithm>
#include <utility>

namespace wspool::testing {

std::size_t record_book::add() {
    const std::lock_guard lock(mutex_);
    entries_.emplace_back();
    entries_.back().record.index = entries_.size() - 1;
    ++unfinished_;
    return entries_.size() - 1;
}

void record_book::opened(std::size_t index, handshake_result&& handshake) {
    const std::lock_guard lock(mutex_);
    connection_record_t& record = entries_[index].record;
    record.opened = true;
    record.path = std::move(handshake.path);
    record.headers = std::move(handshake.headers);
    record.subprotocol = std::move(handshake.subprotocol);
    ++opened_;
    changed();
}

void record_book::update(std::size_t index, const counters& now) {
    const std::lock_guard lock(mutex_);
    entries_[index].now = now;
    changed();
}

void record_book::finished(std::size_t index, const counters& now, std::string error) {
    const std::lock_guard lock(mutex_);
    entry& found = entries_[index];
    found.now = now;
    found.record.finished = true;
    found.record.error = std::move(error);
    --unfinished_;
    changed();
}

void record_book::stopped_accepting() {
    const std::lock_guard lock(mutex_);
    accepting_ = false;
    changed();
}

void record_book::changed() const {
    if (waiting_ != 0) condition_.notify_all();
}

std::vector<connection_record_t> record_book::snapshot() const {
    std::vector<connection_record_t> records;
    const std::lock_guard lock(mutex_);
    records.reserve(entries_.size());
    for (const entry& from : entries_) {
        connection_record_t record = from.record;
        const counters& now = from.now;
        record.messages_sent = now.messages_sent;
        record.payload_bytes_sent = now.payload_bytes_sent;
        record.crc32_sent = now.crc32_sent;
        if (script_ != nullptr) {
            const auto replayed = script_->totals_until(now.replayed);
            record.messages_sent = replayed.messages;
            record.payload_bytes_sent = replayed.payload_bytes;
            record.crc32_sent = replayed.crc32;
        }
        record.messages_received = now.messages_received;
        record.payload_bytes_received = now.payload_bytes_received;
        record.crc32_received = now.crc32_received;
        record.pings_sent = now.pings_sent;
        record.pings_received = now.pings_received;
        record.pongs_received = now.pongs_received;
        record.close_code_sent = now.close_code_sent;
        record.close_code_received = now.close_code_received;
        records.push_back(std::move(record));
    }
    return records;
}

bool record_book::wait(std::chrono::duration<double> timeout,
                       const std::function<bool()>& condition) const {
    // A day stands for "very long", which the clock's arithmetic could not hold.
    const auto bounded =
        std::clamp(timeout, std::chrono::duration<double>(0), std::chrono::duration<double>(86400));
    std::unique_lock lock(mutex_);
    ++waiting_;
    const bool holds = condition_.wait_until(
        lock,
        std::chrono::steady_clock::now() +
            std::chrono::duration_cast<std::chrono::steady_clock::duration>(bounded),
        condition);
    --waiting_;
    return holds;
}

bool record_book::wait_opened(std::size_t count, std::chrono::duration<double> timeout) const {
    return wait(timeout, [&] { return opened_ >= count; });
}

bool record_book::wait_idle(bool for_good, std::chrono::duration<double> timeout) const {
    return wait(timeout, [&] { return unfinished_ == 0 && !(for_good && accepting_); });
}

bool record_book::wait_messages(std::uint64_t sent, std::uint64_t received,
                                std::chrono::duration<double> timeout) const {
    return wait(timeout, [&] {
        std::uint64_t sent_now = 0;
        std::uint64_t received_now = 0;
        for (const entry& each : entries_) {
            sent_now += script_ != nullptr ? script_->messages_until(each.now.replayed)
                                           : each.now.messages_sent;
            received_now += each.now.messages_received;
        }
        return sent_now >= sent && received_now >= received;
    });
}

}  // namespace wspool::testing
