#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "json/structure.hpp"
#include "json/token.hpp"
#include "wspool/record_batch.hpp"

namespace wspool::json {

/// What conversions need besides the value.
struct context {
    const structure& source;
    bool has_backslash;
    std::string& scratch;
};

/// Which values are null; without any it is empty.
class validity {
public:
    void push(bool is_valid) {
        if (is_valid && nulls_ == 0) {
            ++length_;
            return;
        }
        push_bit(is_valid);
    }
    [[nodiscard]] std::size_t length() const noexcept { return length_; }
    /// Gives what there is to `out`, and begins anew.
    void finish(column_data_t& out);

private:
    void push_bit(bool is_valid);

    byte_store_c bits_;
    std::size_t length_ = 0;
    std::size_t nulls_ = 0;
};

/// Makes a column out of the values of one message or row after the other.
class column {
public:
    static std::unique_ptr<column> make(const column_type_t& type);

    virtual ~column() = default;
    column(const column&) = delete;
    column& operator=(const column&) = delete;

    /// Converts a value; what is missing or cannot be converted becomes null. Returns how many
    /// could not be converted: of a list it may be several.
    virtual unsigned append(const slice& value, context& with) = 0;
    /// The values so far; the next one begins a new column.
    std::shared_ptr<const column_data_t> finish();

protected:
    explicit column(column_type_t type) : type_(std::move(type)) {}

    /// Gives everything but type and validity to `out`, and begins anew.
    virtual void finish(column_data_t& out) = 0;

    validity validity_;

private:
    const column_type_t type_;
};

/// Texts one behind the other. Above 2 GiB, which Arrow's offsets cannot count, `push` throws
/// std::length_error.
class text_store {
public:
    text_store() { begin(); }
    void push(std::string_view text);
    [[nodiscard]] std::string_view operator[](std::size_t number) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return offsets_.Size() / 4 - 1; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.Size(); }
    void finish(column_data_t& out);
    /// A string column with what is there, which stays.
    [[nodiscard]] std::shared_ptr<const column_data_t> copy() const;

private:
    void begin();

    byte_store_c offsets_;
    byte_store_c bytes_;
};

/// Different texts, each with the number that it got when it came first.
class dictionary {
public:
    dictionary();
    std::uint32_t number_of(std::string_view text);
    /// What is there now: the same object as long as nothing is added. Numbers stay.
    std::shared_ptr<const column_data_t> snapshot();
    /// Forgets everything if it has become too large, so that memory stays bounded.
    void bound();

private:
    struct slot {
        std::uint64_t word = 0;      // what `word_of` says of the text
        std::uint32_t occupant = 0;  // its number + 1; 0 is free
        std::uint32_t size = 0;
    };

    [[nodiscard]] std::uint64_t hash(std::string_view text, std::uint64_t word) const noexcept;
    [[nodiscard]] bool is_at(const slot& place, std::string_view text, std::uint64_t word) const;
    void enlarge();

    const std::uint64_t seed_;  // a peer must not know which texts collide
    text_store texts_;
    std::vector<slot> table_;
    std::size_t mask_ = 0;
    std::shared_ptr<const column_data_t> snapshot_;
};

}  // namespace wspool::json
