#include "record_listener.hpp"

#include "connection.hpp"
#include "gil.hpp"
#include "message.hpp"
#include "records.hpp"

namespace wspool::python {
namespace {

/// A batch is not larger, however much one read brings.
constexpr std::size_t most_rows = 64 * 1024;
constexpr std::size_t most_bytes = std::size_t{32} << 20U;

}  // namespace

python_record_listener::python_record_listener(PyObject* connection,
                                               std::shared_ptr<const field_set_c> fields,
                                               std::string_view label,
                                               const record_callbacks& callbacks, bool takes_events)
    : python_listener(connection, nullptr, takes_events),
      fields_(std::move(fields)),
      picker_(fields_),
      label_(picker_.Add_connection(label)),
      callbacks_(callbacks) {
    Py_XINCREF(callbacks_.on_batch);
    Py_XINCREF(callbacks_.on_record);
    Py_XINCREF(callbacks_.on_unmatched);
}

python_record_listener::~python_record_listener() {
    if (callbacks_.on_batch == nullptr && callbacks_.on_record == nullptr &&
        callbacks_.on_unmatched == nullptr)
        return;
    const gil_lock gil;
    if (gil) guarded([this] { python_record_listener::release(); });
}

void python_record_listener::release() noexcept {
    Py_CLEAR(callbacks_.on_batch);
    Py_CLEAR(callbacks_.on_record);
    Py_CLEAR(callbacks_.on_unmatched);
    python_listener::release();
}

void python_record_listener::finish(std::size_t number, batches_t& batches) {
    if (picker_.Rows(number) != 0) batches.push_back(picker_.Finish(number));
}

void python_record_listener::On_messages(metadata_c& /*connection*/, const message_view_t* messages,
                                         std::size_t count) {
    if (is_disabled()) return;
    const std::size_t sets = fields_->Fields().size();
    batches_t batches;
    std::vector<const message_view_t*> unmatched;
    for (const auto* message = messages; message != messages + count; ++message) {
        const auto outcome = picker_.Pick(*message, label_);
        if (outcome != record_picker_c::outcome_e::MATCHED) {
            if (callbacks_.on_unmatched != nullptr) unmatched.push_back(message);
            continue;
        }
        for (std::size_t i = 0; i < sets; ++i)
            if (picker_.Rows(i) >= most_rows || picker_.Bytes(i) >= most_bytes) finish(i, batches);
    }
    for (std::size_t i = 0; i < sets; ++i) finish(i, batches);
    if (batches.empty() && unmatched.empty()) return;
    const gil_lock gil;
    if (!gil) return;
    guarded([&] { deliver(batches, unmatched); });
}

void python_record_listener::deliver(const batches_t& batches,
                                     const std::vector<const message_view_t*>& unmatched) {
    for (const auto& batch : batches) {
        if (callbacks_.on_record != nullptr) {
            for (std::size_t row = 0; row < batch->rows && !is_disabled(); ++row)
                call(callbacks_.on_record, row_as_tuple(*batch, row));
        }
        if (callbacks_.on_batch != nullptr && !is_disabled())
            call(callbacks_.on_batch, make_batch_object(batch));
    }
    for (const auto* message : unmatched) {
        if (is_disabled()) break;
        call(callbacks_.on_unmatched, make_message(*message));
    }
}

/// Steals `argument`, which may be null with an exception set.
void python_record_listener::call(PyObject* callback, PyObject* argument) {
    PyObject* result = nullptr;
    if (argument != nullptr) {
        PyObject* args[] = {nullptr, connection(), argument};
        result =
            PyObject_Vectorcall(callback, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
        Py_DECREF(argument);
    }
    if (result == nullptr)
        report();
    else
        Py_DECREF(result);
}

}  // namespace wspool::python
