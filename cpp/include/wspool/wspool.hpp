#pragma once

/// All of wspool's C++ API.

#include "wspool/endpoint.hpp"
#include "wspool/endpoint_pool.hpp"
#include "wspool/error.hpp"
#include "wspool/fields.hpp"
#include "wspool/listener.hpp"
#include "wspool/message_queue.hpp"
#include "wspool/message_view.hpp"
#include "wspool/metadata.hpp"
#include "wspool/options.hpp"
#include "wspool/ready_list.hpp"
#include "wspool/record_batch.hpp"
#include "wspool/record_picker.hpp"
#include "wspool/record_stream.hpp"
#include "wspool/sink.hpp"
#include "wspool/tls.hpp"
#include "wspool/version.hpp"
