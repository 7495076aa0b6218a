// Conversation::reply(): a local reply takes its place behind what is still outstanding. Included
// by the files of Conversation only.
#pragma once

#include "gateway/native/conversation.h"

namespace sluice::native {

template <class Write>
void Conversation::reply(Write write) {
  if (outstanding() == 0) {
    resp::Writer writer(output_, asked_version_);
    write(writer);
    reply_version_ = asked_version_;
    return;
  }
  scratch_.clear();
  resp::Writer writer(scratch_, asked_version_);
  write(writer);
  const engine::Sequence sequence = next_sequence_++;
  hold_text(sequence, asked_version_, scratch_.view());
}

}  // namespace sluice::native
