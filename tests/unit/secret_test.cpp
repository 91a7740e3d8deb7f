// Secrets: expected values were made with `openssl enc -aes-256-cbc`.
#include "crypto/secret.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace doppel::crypto {
namespace {

Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }

Bytes key() {
  Bytes k;
  for (u8 i = 0; i < 32; i++) k.push_back(i);
  return k;
}
const char* const kIv = "EBESExQVFhcYGRobHB0eHw==";  // 10 11 .. 1f

TEST(Secret, Base64) {
  EXPECT_EQ(*from_base64(""), bytes(""));
  EXPECT_EQ(*from_base64("Zm9vYg=="), bytes("foob"));
  EXPECT_EQ(*from_base64("Zm9v\nYmFy\n"), bytes("foobar"));
  for (const char* bad : {"Zm9vYg", "Zm9vYg=", "Z!9v", "===="}) EXPECT_FALSE(from_base64(bad).ok()) << bad;
}

TEST(Secret, Decrypts) {
  const Bytes iv = *from_base64(kIv);
  const auto plain = [&](const char* text) { return *decrypt_aes256_cbc(key(), iv, *from_base64(text)); };
  EXPECT_EQ(plain("cuqgidUFtZBI1grREuByS0MwU+If8S75j0j+nexB1H0="), bytes("a secret of 24 letters.."));
  EXPECT_EQ(plain("Wm4EVwj7cZbwLlU9AsOmkg=="), bytes(""));
  EXPECT_EQ(plain("h5rblLmeNfb22WgFSLtx0aUJ37jB1JwhvYKMuqhjZes="), bytes("0123456789abcdef"));
}

TEST(Secret, RefusesWhatCannotBeDecrypted) {
  const Bytes iv = *from_base64(kIv), data = *from_base64("Wm4EVwj7cZbwLlU9AsOmkg==");
  EXPECT_FALSE(decrypt_aes256_cbc(Bytes(16), iv, data).ok());
  EXPECT_FALSE(decrypt_aes256_cbc(key(), Bytes(8), data).ok());
  EXPECT_FALSE(decrypt_aes256_cbc(key(), iv, Bytes(15)).ok());
  EXPECT_FALSE(decrypt_aes256_cbc(key(), iv, {}).ok());
  EXPECT_FALSE(decrypt_aes256_cbc(Bytes(32, 7), iv, data).ok()) << "another key gives bad padding";
}

TEST(Secret, MasterKeyInAFile) {
  const auto path = std::filesystem::temp_directory_path() / ("doppel-secret." + std::to_string(::getpid()));
  {
    std::ofstream out(path, std::ios::binary);
    const Bytes k = key();
    out.write(reinterpret_cast<const char*>(k.data()), 32);
  }
  Secrets s;
  ASSERT_TRUE(s.add({{"qom-type", "secret"}, {"id", "masterKey0"}, {"format", "raw"}, {"file", path.string()}}).ok());
  ASSERT_TRUE(s.add({{"id", "a"},
                     {"data", "h5rblLmeNfb22WgFSLtx0aUJ37jB1JwhvYKMuqhjZes="},
                     {"keyid", "masterKey0"},
                     {"iv", kIv},
                     {"format", "base64"}})
                  .ok());
  EXPECT_EQ(*s.find("a"), bytes("0123456789abcdef"));
  ASSERT_TRUE(s.add({{"id", "plain"}, {"data", "letmein"}}).ok());
  EXPECT_EQ(*s.find("plain"), bytes("letmein"));
  EXPECT_EQ(s.ids(), (std::vector<std::string>{"a", "masterKey0", "plain"}));
  EXPECT_TRUE(s.remove("plain"));
  EXPECT_FALSE(s.remove("plain"));
  EXPECT_FALSE(s.contains("plain"));
  std::filesystem::remove(path);
}

TEST(Secret, ErrorsNameTheCause) {
  Secrets s;
  const auto cause = [&](const Secrets::Properties& p) { return s.add(p).error().cause; };
  EXPECT_NE(cause({{"data", "x"}}).find("needs id="), std::string::npos);
  EXPECT_NE(cause({{"id", "a"}}).find("neither data= nor file="), std::string::npos);
  EXPECT_NE(cause({{"id", "a"}, {"data", "x"}, {"file", "/x"}}).find("both"), std::string::npos);
  EXPECT_NE(cause({{"id", "a"}, {"file", "/nonexistent"}}).find("/nonexistent"), std::string::npos);
  EXPECT_NE(cause({{"id", "a"}, {"data", "x"}, {"keyid", "k"}}).find("without iv="), std::string::npos);
  EXPECT_NE(cause({{"id", "a"}, {"data", "x"}, {"keyid", "k"}, {"iv", kIv}}).find("no secret 'k'"), std::string::npos);
  EXPECT_NE(cause({{"id", "a"}, {"data", "x"}, {"colour", "red"}}).find("'colour'"), std::string::npos);
  EXPECT_NE(cause({{"id", "a"}, {"data", "!"}, {"format", "base64"}}).find("base64"), std::string::npos);
  ASSERT_TRUE(s.add({{"id", "a"}, {"data", "x"}}).ok());
  EXPECT_NE(cause({{"id", "a"}, {"data", "x"}}).find("two secrets"), std::string::npos);
}

}  // namespace
}  // namespace doppel::crypto
