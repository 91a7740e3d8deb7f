#include "crypto/secret.h"

#include <nettle/aes.h>
#include <nettle/base64.h>
#include <nettle/cbc.h>

#include <algorithm>

#include "base/os/fd_sets.h"

namespace doppel::crypto {
namespace {

constexpr size_t kBlock = AES_BLOCK_SIZE;

// The compiler may not leave it out, as it may a plain fill before the end of an object's life.
void wipe(Bytes& bytes) {
  volatile u8* p = bytes.data();
  for (size_t i = 0; i < bytes.size(); i++) p[i] = 0;
}

struct Wanted {
  std::string id, data, file, format = "raw", keyid, iv;
  bool has_data = false;
};

Result<Wanted> read_properties(const Secrets::Properties& p) {
  Wanted w;
  for (const auto& [key, value] : p) {
    if (key == "id") {
      w.id = value;
    } else if (key == "data") {
      w.data = value;
      w.has_data = true;
    } else if (key == "file") {
      w.file = value;
    } else if (key == "format") {
      w.format = value;
    } else if (key == "keyid") {
      w.keyid = value;
    } else if (key == "iv") {
      w.iv = value;
    } else if (key != "qom-type" && key != "loaded") {
      return Error{"-object secret has no property '" + key + "'", "it has: id, data, file, format, keyid, iv"};
    }
  }
  if (w.id.empty()) return Error{"-object secret needs id=", "-object secret,id=sec0,file=password.txt"};
  const std::string name = "the secret '" + w.id + "'";
  if (w.has_data == !w.file.empty())
    return Error{name + (w.has_data ? " has both data= and file=" : " has neither data= nor file="),
                 "give one of them"};
  if (w.format != "raw" && w.format != "base64")
    return Error{name + " has format=" + w.format, "use format=raw or format=base64"};
  if (w.keyid.empty() != w.iv.empty())
    return Error{name + " has " + (w.iv.empty() ? "keyid= without iv=" : "iv= without keyid="), "give both or neither"};
  return w;
}

Result<Bytes> contents(const Wanted& w) {
  if (w.has_data) return Bytes(w.data.begin(), w.data.end());
  const auto text = os::read_named(w.file);
  if (!text) return Error{"can't read the secret's file " + w.file, "check the path and its permissions"};
  return Bytes(text->begin(), text->end());
}

}  // namespace

std::string to_base64(const std::string& bytes) {
  std::string text(BASE64_ENCODE_RAW_LENGTH(bytes.size()), 0);
  // SAFETY: chars as bytes.
  base64_encode_raw(text.data(), bytes.size(), reinterpret_cast<const u8*>(bytes.data()));
  return text;
}

Result<Bytes> from_base64(const std::string& text) {
  base64_decode_ctx context;
  base64_decode_init(&context);
  Bytes out(BASE64_DECODE_LENGTH(text.size()));
  size_t size = out.size();
  if (!base64_decode_update(&context, &size, out.data(), text.size(), text.data()) || !base64_decode_final(&context))
    return Error{"the text is not base64", "check that it is whole"};
  out.resize(size);
  return out;
}

Result<Bytes> decrypt_aes256_cbc(const Bytes& key, const Bytes& iv, const Bytes& data) {
  if (key.size() != AES256_KEY_SIZE)
    return Error{"the key has " + std::to_string(key.size()) + " bytes, not 32", "give a key of AES-256"};
  if (iv.size() != kBlock) return Error{"the iv has " + std::to_string(iv.size()) + " bytes, not 16", ""};
  if (data.empty() || data.size() % kBlock != 0)
    return Error{"the encrypted data is not in whole blocks of 16 bytes", ""};
  aes256_ctx cipher;
  aes256_set_decrypt_key(&cipher, key.data());
  Bytes chain = iv, out(data.size());
  // SAFETY: nettle's cipher functions take their own context as a void pointer.
  cbc_decrypt(&cipher, reinterpret_cast<nettle_cipher_func*>(aes256_decrypt), kBlock, chain.data(), data.size(),
              out.data(), data.data());
  const u8 padding = out.back();
  const bool good = padding >= 1 && padding <= kBlock &&
                    std::all_of(out.end() - padding, out.end(), [&](u8 b) { return b == padding; });
  if (!good) {
    wipe(out);
    return Error{"the padding is wrong after decryption", "is it the right key and iv?"};
  }
  out.resize(out.size() - padding);
  return out;
}

Secrets::~Secrets() {
  for (auto& [id, bytes] : by_id_) wipe(bytes);
}

Status Secrets::add(const Properties& p) {
  auto w = read_properties(p);
  if (!w) return w.error();
  const auto failed = [&](const Error& e) { return Error{"the secret '" + w->id + "': " + e.cause, e.fix}; };
  auto value = contents(*w);
  if (value && w->format == "base64") value = from_base64(std::string(value->begin(), value->end()));
  if (!value) return failed(value.error());
  if (!w->keyid.empty()) {
    auto key = find(w->keyid);
    if (!key) return failed({"there is no secret '" + w->keyid + "'", "define it before this one"});
    auto iv = from_base64(w->iv);
    if (!iv) return failed({"iv=" + w->iv + " is not base64", "give 16 bytes in base64"});
    value = decrypt_aes256_cbc(*key, *iv, *value);
    wipe(*key);
    if (!value) return failed(value.error());
  }
  const std::lock_guard guard(lock_);
  if (!by_id_.emplace(w->id, value.take()).second)
    return Error{"there are two secrets '" + w->id + "'", "change one id="};
  return success();
}

bool Secrets::remove(const std::string& id) {
  const std::lock_guard guard(lock_);
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return false;
  wipe(it->second);
  by_id_.erase(it);
  return true;
}

std::optional<Bytes> Secrets::find(const std::string& id) const {
  const std::lock_guard guard(lock_);
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return std::nullopt;
  return it->second;
}

std::vector<std::string> Secrets::ids() const {
  const std::lock_guard guard(lock_);
  std::vector<std::string> out;
  for (const auto& [id, bytes] : by_id_) out.push_back(id);
  return out;
}

}  // namespace doppel::crypto
