# Relative to this folder. module.cpp is a list of register_<topic> calls.
set(WSPOOL_BINDINGS_SOURCES
    connection_methods.cpp
    convert.cpp
    errors.cpp
    gil.cpp
    json_find.cpp
    json_pointer.cpp
    json_value.cpp
    lifecycle.cpp
    listener.cpp
    module.cpp
    register_connection.cpp
    register_endpoint.cpp
    register_message.cpp
    register_testing.cpp
    register_tls.cpp
)
