// Users: hashes, and the table in the configuration.
#include "server/users.h"

#include "server/config.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::server {
namespace {

TEST(Passwords, AreKnownByTheirHash) {
  const Result<std::string> hash = hash_password("correct horse");
  ASSERT_TRUE(hash);
  EXPECT_TRUE(is_password_hash(*hash));
  EXPECT_TRUE(is_password("correct horse", *hash));
  EXPECT_FALSE(is_password("correct horsf", *hash));
  EXPECT_FALSE(is_password("", *hash));
  EXPECT_NE(*hash, *hash_password("correct horse"));  // Another salt.
}

TEST(Passwords, HaveLimits) {
  EXPECT_FALSE(hash_password(""));
  EXPECT_FALSE(hash_password(std::string(password_bytes_max + 1, 'a')));
  EXPECT_FALSE(hash_password(std::string("a\0b", 3)));
  EXPECT_TRUE(hash_password(std::string(password_bytes_max, 'a')));
}

TEST(Passwords, WhatIsNoHashIsTold) {
  const std::string digest(43, 'a');
  const std::string salted = "$y$j9T$salt$";
  const std::vector<std::string> wrong{"",
                                       "secret",
                                       "$",
                                       "$9$what$" + digest,
                                       salted,
                                       digest,
                                       "$" + digest,
                                       salted + std::string(500, 'a')};
  for (const std::string& text : wrong)
    EXPECT_FALSE(is_password_hash(text)) << text;
  EXPECT_TRUE(is_password_hash("$2b$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"));
}

TEST(Users, AreFoundByNameAndPassword) {
  const std::vector<User> users{{"ada", *hash_password("a"), {"/"}},
                                {"bob", *hash_password("b"), {"/"}}};
  EXPECT_EQ(find_user(users, "ada", "a"), &users[0]);
  EXPECT_EQ(find_user(users, "bob", "b"), &users[1]);
  EXPECT_EQ(find_user(users, "bob", "a"), nullptr);
  EXPECT_EQ(find_user(users, "eve", "a"), nullptr);
  EXPECT_EQ(find_user({}, "ada", "a"), nullptr);
}

class UsersTable : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  Result<LoadedConfig> load(const std::string& content) {
    std::ofstream(path_) << content;
    return load_config({.flags = {}, .environment = {}, .file = path_.string()});
  }

  std::string problem(const std::string& content) {
    const Result<LoadedConfig> loaded = load(content);
    return loaded ? "no problem" : loaded.error().message;
  }

  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("users-" + std::to_string(getpid()) + ".toml");
  const std::string hash_ = *hash_password("secret");
};

TEST_F(UsersTable, IsRead) {
  const Result<LoadedConfig> loaded =
      load("io_threads = 1\n[[users]]\nname = \"ada\"\npassword_hash = \"" + hash_ +
           "\"\nvhosts = [\"/\", \"shop\"]\n[[users]]\nname = \"bob\"\npassword_hash = \"" + hash_ +
           "\"\n");
  ASSERT_TRUE(loaded) << loaded.error().message;
  const std::vector<User>& users = loaded->config.users;
  ASSERT_EQ(users.size(), 2u);
  EXPECT_EQ(users[0].name, "ada");
  EXPECT_EQ(users[0].vhosts, (std::vector<std::string>{"/", "shop"}));
  EXPECT_EQ(users[1].vhosts, std::vector<std::string>{"/"});  // Unless it says otherwise.
}

TEST_F(UsersTable, IsPrintedAsItCanBeReadAgain) {
  const Result<LoadedConfig> loaded =
      load("[[users]]\nname = \"a\\\"da\"\nvhosts = [\"shop\", \"bank\"]\npassword_hash = \"" +
           hash_ + "\"\n");
  ASSERT_TRUE(loaded) << loaded.error().message;
  const Result<LoadedConfig> again = load(printed(*loaded));
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->config.users.size(), 1u);
  EXPECT_EQ(again->config.users[0].name, "a\"da");
  EXPECT_EQ(again->config.users[0].password_hash, hash_);
  EXPECT_EQ(again->config.users[0].vhosts, (std::vector<std::string>{"shop", "bank"}));
}

TEST_F(UsersTable, SaysWhatIsWrongAndWhere) {
  const std::string hash = "password_hash = \"" + hash_ + "\"\n";
  const auto has = [this](const std::string& content, const std::string& wanted) {
    const std::string said = problem(content);
    EXPECT_NE(said.find(wanted), std::string::npos) << said;
  };
  has("[[users]]\n" + hash, "users[0]: expected a name");
  has("[[users]]\nname = \"ada\"\n", "users[0]: expected a password_hash");
  has("[[users]]\nname = \"ada\"\npassword_hash = \"secret\"\n", "hash-password");
  has("[[users]]\nname = \"a\\u001b\"\n" + hash, "users[0]: expected a name");
  has("[[users]]\nname = 5\n" + hash, "users[0].name = 5 (" + path_.string() + ":2)");
  has("[[users]]\nname = \"ada\"\ncolour = \"red\"\n" + hash, "there is no such setting");
  has("[[users]]\nname = \"ada\"\nvhosts = [\"a/b\"]\n" + hash, "users[0].vhosts[0]");
  has("[[users]]\nname = \"a\"\n" + hash + "[[users]]\nname = \"a\"\n" + hash, "twice");
}

TEST_F(UsersTable, DoesNotRepeatAHash) {
  EXPECT_EQ(problem("[[users]]\nname = \"ada\"\npassword_hash = \"secret\"\n").find("\"secret\""),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::server
