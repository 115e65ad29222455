/// One thread for each endpoint of the pool, one connection for each thread: connect, wait until
/// it is open, send a message, wait for its echo, close.
///
///     multithreading [URI]      (default: wss://echo.websocket.org)
///
/// For wss:// the server's certificate is verified; SSL_CERT_FILE names a private CA.

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <wspool/wspool.hpp>

#include "logger.hpp"

using namespace wspool;

static logger_c logger;
static std::string uri = "wss://echo.websocket.org";
static std::atomic<int> connections_completed(0);
static std::atomic<int> failures(0);

struct ConnectionContext {
    std::promise<bool> echo_received;  // Promise to signal message reception
    std::future<bool> echo_future;     // Future associated with the promise
    int thread_id;                     // ID of the thread managing the connection

    explicit ConnectionContext(int thread_id)
        : echo_future(echo_received.get_future()), thread_id(thread_id) {}
};

static void on_msg_callback(metadata_c::client& /*client*/,
                            websocketpp::connection_hdl /*conn_hdl*/,
                            metadata_c::client::message_ptr msg,
                            simdjson::ondemand::parser& /*parser*/, ConnectionContext* context) {
    if (msg->get_payload() == "Hello from endpoint " + std::to_string(context->thread_id)) {
        logger.Log("Message received on thread ", context->thread_id, ": ", msg->get_payload());
        context->echo_received.set_value(true);  // Signal that the message was received
    }
}

static void process_endpoint(endpoint_c& endpoint, int thread_id) {
    auto context = std::make_shared<ConnectionContext>(thread_id);
    std::future<metadata_c::status_e> future;

    metadata_c::on_callbacks_t callbacks = {
        .on_open =
            [context](metadata_c::client&, websocketpp::connection_hdl) {
                logger.Log("Connection opened on thread ", context->thread_id);
            },
        .on_close =
            [context](uint16_t close_code, std::string_view) {
                logger.Log("Connection closed on thread ", context->thread_id, " with code ",
                           close_code);
                connections_completed.fetch_add(1, std::memory_order_relaxed);
            },
        .on_fail =
            [context](uint16_t, std::string_view error) {
                logger.Log("Connection failed on thread ", context->thread_id, ": ", error);
            },
        .on_msg =
            [context](metadata_c::client& client, websocketpp::connection_hdl hdl,
                      metadata_c::client::message_ptr msg,
                      simdjson::ondemand::parser& parser) mutable {
                on_msg_callback(client, hdl, msg, parser, context.get());
            },
    };

    int id_connection = 0;
    auto err = endpoint.Create_new_connection(uri, future, id_connection, callbacks);
    if (err) {
        logger.Log("Error creating connection for endpoint ", thread_id, ": ", err->Error_msg());
        ++failures;
        return;
    }
    if (future.get() != metadata_c::status_e::OPENED) {
        logger.Log("Connection failed for endpoint ", thread_id);
        ++failures;
        return;
    }
    logger.Log("Connection successful for endpoint ", thread_id);

    const std::string message = "Hello from endpoint " + std::to_string(thread_id);
    err = endpoint.Send_msg(id_connection, message);
    if (err) {
        logger.Log("Error sending message for endpoint ", thread_id, ": ", err->Error_msg());
        ++failures;
        return;
    }
    logger.Log("Message sent from endpoint ", thread_id);
    if (context->echo_future.wait_for(std::chrono::seconds(10)) != std::future_status::ready) {
        logger.Log("No echo for endpoint ", thread_id, " within 10 s");
        ++failures;
    }
    endpoint.Close(id_connection);
}

int main(int argc, char** argv) {
    if (argc > 1) {
        uri = argv[1];
    }
    auto& pool = endpoint_pool_c::Instance();
    const size_t num_endpoints = pool.Max_index() + 1;
    logger.Log("Number of endpoints in the pool: ", num_endpoints);

    std::vector<std::thread> threads;
    for (size_t i = 0; i < num_endpoints; ++i) {
        threads.emplace_back(process_endpoint, std::ref(pool.Get_endpoint(i)), static_cast<int>(i));
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (size_t i = 0; i < num_endpoints; ++i) {
        if (const auto err = pool.Get_endpoint(i).Wait_for_closing_all(std::chrono::seconds(10))) {
            logger.Log("Endpoint ", i, ": ", err->Error_msg());
            ++failures;
        }
    }
    logger.Log("Connections completed: ", connections_completed.load(), " of ", num_endpoints);
    return failures == 0 ? 0 : 1;
}
