// Secrets: passwords and keys that other objects name by id (-object secret). A secret is given as it is, in base64, or
// encrypted with another secret: AES-256 in CBC mode with PKCS#7 padding, whose key is the 32 bytes of the secret
// `keyid` (libvirt hands its master key over in a file, and all others encrypted with that).
//
// Threads: any.
#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::crypto {

using Bytes = std::vector<u8>;

// RFC 4648, section 4; white space between the characters is ignored.
Result<Bytes> from_base64(const std::string& text);
std::string to_base64(const std::string& bytes);
// Errors: a key of another size than 32 bytes, an iv of another than 16, no whole blocks, bad padding.
Result<Bytes> decrypt_aes256_cbc(const Bytes& key, const Bytes& iv, const Bytes& data);

class Secrets {
 public:
  using Properties = std::vector<std::pair<std::string, std::string>>;
  ~Secrets();  // what was kept is overwritten
  // id=, and data= or file=; format=raw|base64; keyid= and iv= (base64) when it is encrypted.
  Status add(const Properties& p);
  bool remove(const std::string& id);
  std::optional<Bytes> find(const std::string& id) const;
  bool contains(const std::string& id) const { return find(id).has_value(); }
  std::vector<std::string> ids() const;

 private:
  mutable std::mutex lock_;
  std::map<std::string, Bytes> by_id_;
};

}  // namespace doppel::crypto
