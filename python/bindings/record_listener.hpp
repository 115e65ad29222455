#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "listener.hpp"
#include "wspool/fields.hpp"
#include "wspool/record_batch.hpp"
#include "wspool/record_picker.hpp"

namespace wspool::python {

/// What the user wants to hear of picked fields; each may be null. Borrowed when given.
struct record_callbacks {
    PyObject* on_batch = nullptr;      ///< (connection, native batch)
    PyObject* on_record = nullptr;     ///< (connection, tuple)
    PyObject* on_unmatched = nullptr;  ///< (connection, Message)
};

/// Picks fields out of what each read brings, without the GIL, and calls back with the result.
class python_record_listener final : public python_listener {
public:
    /// GIL held.
    python_record_listener(PyObject* connection, std::shared_ptr<const field_set_c> fields,
                           std::string_view label, const record_callbacks& callbacks,
                           bool takes_events);
    ~python_record_listener() override;

    void On_messages(metadata_c& connection, const message_view_t* messages,
                     std::size_t count) override;

private:
    using batches_t = std::vector<std::shared_ptr<const record_batch_t>>;

    void release() noexcept override;
    void finish(std::size_t number, batches_t& batches);
    void deliver(const batches_t& batches, const std::vector<const message_view_t*>& unmatched);
    void call(PyObject* callback, PyObject* argument);

    const std::shared_ptr<const field_set_c> fields_;
    record_picker_c picker_;
    const std::uint32_t label_;
    record_callbacks callbacks_;
};

}  // namespace wspool::python
