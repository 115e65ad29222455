#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

namespace wspool::transport {

/// Bytes that are appended at the end and consumed from the front, without zeroing or moving
/// them more than needed. Gives large storage back when empty.
class byte_buffer {
public:
    [[nodiscard]] const char* data() const { return storage_.get() + begin_; }
    [[nodiscard]] std::size_t size() const { return end_ - begin_; }
    [[nodiscard]] bool empty() const { return begin_ == end_; }

    /// Room for `count` bytes at the end, to be filled by the caller.
    char* extend(std::size_t count) {
        if (capacity_ - end_ < count) make_room(count);
        char* at = storage_.get() + end_;
        end_ += count;
        return at;
    }
    void append(const char* bytes, std::size_t count) {
        if (count != 0) std::memcpy(extend(count), bytes, count);
    }
    void consume(std::size_t count) {
        begin_ += count;
        if (begin_ == end_) clear();
    }
    void clear() {
        begin_ = end_ = 0;
        if (capacity_ > keep) {
            storage_.reset();
            capacity_ = 0;
        }
    }
    void swap(byte_buffer& other) noexcept {
        storage_.swap(other.storage_);
        std::swap(begin_, other.begin_);
        std::swap(end_, other.end_);
        std::swap(capacity_, other.capacity_);
    }
    /// Frees the storage if there is nothing in it.
    void shrink() {
        if (!empty()) return;
        storage_.reset();
        capacity_ = 0;
    }

private:
    static constexpr std::size_t keep = 4096;

    void make_room(std::size_t count) {
        const std::size_t held = size();
        if (capacity_ >= held + count && begin_ >= capacity_ / 2) {
            std::memmove(storage_.get(), data(), held);
        } else {
            const std::size_t capacity = std::max({2 * capacity_, held + count, std::size_t{512}});
            std::unique_ptr<char[]> larger(new char[capacity]);
            if (held != 0) std::memcpy(larger.get(), data(), held);
            storage_ = std::move(larger);
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = held;
    }

    std::unique_ptr<char[]> storage_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace wspool::transport
