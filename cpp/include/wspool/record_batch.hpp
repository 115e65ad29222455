#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "wspool/event.hpp"
#include "wspool/export.hpp"
#include "wspool/fields.hpp"

namespace wspool {

/// Memory that grows at the end and is never cleared first.
class byte_store_c {
public:
    byte_store_c() = default;
    byte_store_c(byte_store_c&& other) noexcept { swap(other); }
    byte_store_c& operator=(byte_store_c&& other) noexcept {
        byte_store_c taken(std::move(other));
        swap(taken);
        return *this;
    }
    ~byte_store_c() { std::free(data_); }

    [[nodiscard]] const char* Data() const noexcept { return data_; }
    [[nodiscard]] char* Data() noexcept { return data_; }
    [[nodiscard]] std::size_t Size() const noexcept { return size_; }
    /// Makes room for `size` more and counts them in; throws std::bad_alloc.
    char* Extend(std::size_t size) {
        if (capacity_ - size_ < size) grow(size_ + size);
        size_ += size;
        return data_ + size_ - size;
    }
    void Reserve(std::size_t capacity) {
        if (capacity > capacity_) grow(capacity);
    }

private:
    WSPOOL_API void grow(std::size_t least);
    void swap(byte_store_c& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    char* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

/// A column's values, in the memory layout of Apache Arrow's columnar format. Immutable.
struct column_data_t {
    column_type_t type;
    std::size_t length = 0;
    std::size_t null_count = 0;
    byte_store_c validity;  ///< a bit for each, 0 for null; empty if there is no null
    /// Fixed width: 8 bytes each, of DECIMAL128 16, of BOOL a bit, of CATEGORY four. Where a value
    /// is null: NaN in FLOAT64, the least integer in TIMESTAMP, else 0.
    byte_store_c values;
    byte_store_c offsets;                             ///< STRING, JSON, LIST: int32, one more
    std::shared_ptr<const column_data_t> items;       ///< LIST
    std::shared_ptr<const column_data_t> dictionary;  ///< CATEGORY: a STRING column

    [[nodiscard]] bool Is_null(std::size_t row) const noexcept {
        return validity.Size() != 0 &&
               ((static_cast<unsigned char>(validity.Data()[row / 8]) >> (row % 8)) & 1U) == 0;
    }
};

/// Rows of one `fields_t`, as columns: those asked for, then `received` (TIMESTAMP in nanoseconds)
/// and `connection` (CATEGORY). Immutable, so any thread may use it; columns may outlive it.
struct record_batch_t {
    struct mistakes_t {
        std::size_t count = 0;  ///< values of a wrong type, which became null
        std::string first;      ///< the message with the first of them, cut off at 64 KiB
    };

    std::shared_ptr<const field_set_c> fields;
    std::size_t number = 0;  ///< of the fields_t in the set
    std::size_t rows = 0;
    std::vector<std::shared_ptr<const column_data_t>> columns;
    std::vector<mistakes_t> mistakes;  ///< one for each column asked for

    /// Of a stream of feeds: which connection of each feed the rows came from, by its label. Rows
    /// of different ones are never in one batch.
    std::vector<std::pair<std::string, std::uint32_t>> generations;
    /// And what happened right before the first row, by label; there may be no row.
    std::vector<std::pair<std::string, event_t>> events;
};

}  // namespace wspool
