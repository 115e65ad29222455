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
    : seed_(random_seed()),
      table_(new std::uint32_t[first_capacity]()),
      mask_(first_capacity - 1) {}

std::uint64_t dictionary::hash(std::string_view text) const noexcept {
    constexpr std::uint64_t prime = 0x9E3779B97F4A7C15U;
    constexpr std::size_t word = 8;
    std::uint64_t value = seed_ ^ text.size();
    while (text.size() > word) {
        value = mix(value ^ load<std::uint64_t>(text.data()), prime ^ seed_);
        text.remove_prefix(word);
    }
    return mix(value ^ load_few(text), prime ^ seed_);
}

std::uint32_t dictionary::number_of(std::string_view text) {
    if (latest_ < texts_.size() && texts_[latest_] == text) return latest_;
    return latest_ = look_up(text);
}

std::uint32_t dictionary::look_up(std::string_view text) {
    std::size_t place = hash(text) & mask_;
    for (; table_[place] != 0; place = (place + 1) & mask_)
        if (texts_[table_[place] - 1] == text) return table_[place] - 1;
    const auto number = static_cast<std::uint32_t>(texts_.size());
    texts_.push(text);
    snapshot_.reset();
    table_[place] = number + 1;
    if (texts_.size() * 2 > mask_) enlarge();
    return number;
}

void dictionary::enlarge() {
    const std::size_t capacity = (mask_ + 1) * 4;
    table_.reset(new std::uint32_t[capacity]());
    mask_ = capacity - 1;
    for (std::size_t number = 0; number < texts_.size(); ++number) {
        std::size_t place = hash(texts_[number]) & mask_;
        while (table_[place] != 0) place = (place + 1) & mask_;
        table_[place] = static_cast<std::uint32_t>(number + 1);
    }
}

std::shared_ptr<const column_data_t> dictionary::snapshot() {
    if (!snapshot_) snapshot_ = texts_.copy();
    return snapshot_;
}

void dictionary::bound() {
    if (texts_.size() <= most_texts && texts_.bytes() <= most_bytes) return;
    texts_ = text_store();
    table_.reset(new std::uint32_t[first_capacity]());
    mask_ = first_capacity - 1;
    latest_ = 0;
    snapshot_.reset();
}

}  // namespace wspool::json
