#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "json/column.hpp"

namespace wspool::json {
namespace {

constexpr std::size_t first_capacity = 64;
/// With more the next batch begins a dictionary of its own.
constexpr std::size_t most_texts = 64 * 1024;
constexpr std::size_t most_bytes = std::size_t{4} << 20U;

std::uint64_t random_seed() {
    std::random_device device;
    return (std::uint64_t{device()} << 32U) | device();
}

template <class T>
T load(const char* from) noexcept {
    T word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

/// Up to eight bytes; together with their number they tell which.
std::uint64_t load_few(std::string_view text) noexcept {
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    if (text.size() >= 4)
        return (std::uint64_t{load<std::uint32_t>(begin)} << 32U) | load<std::uint32_t>(end - 4);
    if (text.empty()) return 0;
    const auto byte = [](char c) { return std::uint64_t{static_cast<unsigned char>(c)}; };
    return (byte(begin[0]) << 16U) | (byte(begin[text.size() / 2]) << 8U) | byte(end[-1]);
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using wide = unsigned __int128;
    const wide product = static_cast<wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

/// What tells texts of up to eight bytes of one length apart, and longer ones often.
std::uint64_t word_of(std::string_view text) noexcept {
    constexpr std::size_t word = 8;
    return text.size() < word ? load_few(text) : load<std::uint64_t>(text.data());
}

}  // namespace

void text_store::begin() {
    constexpr std::int32_t zero = 0;
    std::memcpy(offsets_.Extend(sizeof zero), &zero, sizeof zero);
}

void text_store::push(std::string_view text) {
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
    if (text.size() > most - bytes_.Size())
        throw std::length_error("a column holds at most 2 GiB of text");
    if (!text.empty()) std::memcpy(bytes_.Extend(text.size()), text.data(), text.size());
    const auto end = static_cast<std::int32_t>(bytes_.Size());
    std::memcpy(offsets_.Extend(sizeof end), &end, sizeof end);
}

std::string_view text_store::operator[](std::size_t number) const noexcept {
    std::int32_t range[2];
    std::memcpy(range, offsets_.Data() + number * 4, sizeof range);
    return {bytes_.Data() + range[0], static_cast<std::size_t>(range[1] - range[0])};
}

void text_store::finish(column_data_t& out) {
    const std::size_t rows = offsets_.Size();
    const std::size_t size = bytes_.Size();
    out.offsets = std::move(offsets_);
    out.values = std::move(bytes_);
    offsets_.Reserve(rows);
    bytes_.Reserve(size);
    begin();
}

std::shared_ptr<const column_data_t> text_store::copy() const {
    auto made = std::make_shared<column_data_t>();
    made->type.kind = column_kind_e::STRING;
    made->length = size();
    std::memcpy(made->offsets.Extend(offsets_.Size()), offsets_.Data(), offsets_.Size());
    if (bytes_.Size() != 0)
        std::memcpy(made->values.Extend(bytes_.Size()), bytes_.Data(), bytes_.Size());
    return made;
}

dictionary::dictionary()
    : seed_(random_seed()), table_(first_capacity), mask_(first_capacity - 1) {}

std::uint64_t dictionary::hash(std::string_view text, std::uint64_t word) const noexcept {
    constexpr std::uint64_t prime = 0x9E3779B97F4A7C15U;
    constexpr std::size_t step = 8;
    std::uint64_t value = seed_ ^ text.size();
    while (text.size() > step) {
        value = mix(value ^ word, prime ^ seed_);
        text.remove_prefix(step);
        word = word_of(text);
    }
    return mix(value ^ word, prime ^ seed_);
}

inline bool dictionary::is_at(const slot& place, std::string_view text, std::uint64_t word) const {
    constexpr std::size_t told_by_word = 8;
    return place.word == word && place.size == text.size() &&
           (text.size() <= told_by_word || texts_[place.occupant - 1] == text);
}

std::uint32_t dictionary::number_of(std::string_view text) {
    const std::uint64_t word = word_of(text);
    std::size_t at = hash(text, word) & mask_;
    for (; table_[at].occupant != 0; at = (at + 1) & mask_)
        if (is_at(table_[at], text, word)) return table_[at].occupant - 1;
    const auto number = static_cast<std::uint32_t>(texts_.size());
    texts_.push(text);
    snapshot_.reset();
    table_[at] = {word, number + 1, static_cast<std::uint32_t>(text.size())};
    if (texts_.size() * 2 > mask_) enlarge();
    return number;
}

void dictionary::enlarge() {
    std::vector<slot> larger((mask_ + 1) * 4);
    mask_ = larger.size() - 1;
    for (const slot& one : table_) {
        if (one.occupant == 0) continue;
        std::size_t at = hash(texts_[one.occupant - 1], one.word) & mask_;
        while (larger[at].occupant != 0) at = (at + 1) & mask_;
        larger[at] = one;
    }
    table_ = std::move(larger);
}

std::shared_ptr<const column_data_t> dictionary::snapshot() {
    if (!snapshot_) snapshot_ = texts_.copy();
    return snapshot_;
}

void dictionary::bound() {
    if (texts_.size() <= most_texts && texts_.bytes() <= most_bytes) return;
    texts_ = text_store();
    table_ = std::vector<slot>(first_capacity);
    mask_ = first_capacity - 1;
    snapshot_.reset();
}

}  // namespace wspool::json
