// IsaDmaChannel: what an ISA device (floppy controller, sound card) sees of one channel of the 8237 pair.
// The DMA controller implements it (one object a channel, handed out by the board as a capability of the device's
// Params). A device in demand or single mode: when it has data (or room) it calls transfer(), which moves as many bytes
// as the channel's current count allows, checks the direction the guest programmed, and stops at terminal count.
#pragma once
#include "base/bits.h"

namespace doppel::hw {

// What a transfer came to. `bytes` were moved (verify transfers count too but touch no memory).
struct IsaDmaResult {
  u32 bytes = 0;
  bool terminal_count = false;  // the channel reached TC on the last byte: the device sees its TC pin
};

class IsaDmaChannel {
 public:
  virtual ~IsaDmaChannel() = default;
  // The device asserts or drops DREQ. Shown in the controller's status register; a block or memory-to-memory mode may
  // look at it.
  virtual void set_request(bool asserted) = 0;
  // True if the channel would move bytes now: controller enabled, channel not masked, DREQ honoured, count not
  // exhausted. A masked channel: the device keeps DREQ up and is told by on_ready once the guest unmasks it.
  virtual bool ready() const = 0;
  // Device to memory (`to_memory`) from `data`, or memory to device into `data`; at most `size` bytes. For a channel
  // programmed for verify: no memory is touched, `data` to the device is zeroes, the count still advances. A channel
  // programmed for the other direction moves nothing (bytes = 0). 16-bit channels move whole words. Autoinit reloads
  // address and count at TC.
  virtual IsaDmaResult transfer(u8* data, u32 size, bool to_memory) = 0;
  // Called by the controller when the channel may have become ready (unmasked, enabled, reprogrammed) while DREQ is up.
  // The device sets it in its constructor through set_listener and must bear a call at any time outside transfer().
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void dma_ready() = 0;
  };
  virtual void set_listener(Listener* listener) = 0;
};

}  // namespace doppel::hw
