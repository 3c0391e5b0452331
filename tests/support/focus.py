"""Says what is wrong with a cost and usage file in the form of FOCUS 1.2, from the rules of the
specification's columns: which there must be, of which type, whether they may be null, which values
are allowed, and how they relate to each other."""

import csv
import datetime
import decimal
import io
import json
import re

MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName"}

# Those that the specification asks for under a condition which this producer meets: it measures
# usage, publishes unit prices and SKUs, has accounts below an account, resources and tags.
CONDITIONAL = {
    "ConsumedQuantity", "ConsumedUnit", "ListUnitPrice", "ResourceId", "ResourceName",
    "ResourceType", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId",
    "SubAccountName", "Tags"}

OPTIONAL = {"ChargeFrequency", "ContractedUnitPrice", "PricingCategory", "ServiceSubcategory",
            "BillingAccountType", "SubAccountType", "InvoiceId"}

DECIMALS = {
    "BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
    "ListCost", "ListUnitPrice", "PricingQuantity"}
TIMES = {"BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"}
UNITS = {"ConsumedUnit", "PricingUnit"}
OBJECTS = {"SkuPriceDetails", "Tags"}

NEVER_NULL = {
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName", "ServiceSubcategory"}
# In a line of usage that is no correction.
USAGE_NOT_NULL = {
    "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "PricingCategory",
    "PricingQuantity", "PricingUnit", "SkuId", "SkuPriceId", "BillingAccountName", "SubAccountName"}

ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {
        "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases",
        "Developer Tools", "Multicloud", "Identity", "Integration", "Internet of Things",
        "Management and Governance", "Media", "Migration", "Mobile", "Networking", "Security",
        "Storage", "Web", "Other"},
}
WEB_SUBCATEGORIES = {"Application Platforms", "Other (Web)"}

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?\Z")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
CURRENCY = re.compile(r"[A-Z]{3}\Z")
DATA_UNITS = "|".join(f"{prefix}{unit}" for prefix in ("", "K", "M", "G", "T", "P", "E", "Ki", "Mi",
                                                       "Gi", "Ti", "Pi", "Ei") for unit in "bB")
SPANS = "Years|Months|Days|Hours|Minutes|Seconds|Milliseconds|Microseconds"
UNIT = re.compile(rf"([1-9][0-9]* )?({DATA_UNITS}|{SPANS}|[A-Z][a-z]+s|[A-Z][A-Za-z]*-({SPANS}))"
                  rf"(/(Year|Month|Day|Hour|Minute|Second))?\Z")
FOCUS_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,49}\Z")
CUSTOM_NAME = re.compile(r"x_[A-Z][A-Za-z0-9]*\Z")


def read(text):
    """Rows as dictionaries, and what is wrong with them as a whole."""
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    head, body = lines[0], lines[1:]
    wrong = judge_head(head)
    wrong += [f"line {number}: {len(line)} fields, not {len(head)}"
              for number, line in enumerate(body, 2) if len(line) != len(head)]
    return [dict(zip(head, line)) for line in body], wrong


def judge_head(head):
    known = MANDATORY | CONDITIONAL | OPTIONAL
    custom = [name for name in head if name.startswith("x_")]
    own = [name for name in head if not name.startswith("x_")]
    wrong = [f"{name} is missing" for name in sorted((MANDATORY | CONDITIONAL) - set(head))]
    wrong += [f"{name} is no column of the specification" for name in own if name not in known]
    wrong += [f"{name} is not in Pascal case" for name in own if not FOCUS_NAME.match(name)]
    wrong += [f"{name} is no name of a custom column" for name in custom
              if not CUSTOM_NAME.match(name)]
    if head != own + custom:
        wrong.append("custom columns are not last")
    if len(set(head)) != len(head):
        wrong.append("a column stands twice")
    return wrong


# ---- One line ----

def judge_nulls(line):
    needed = set(NEVER_NULL)
    if line["ChargeCategory"] in ("Usage", "Purchase") and line["ChargeClass"] != "Correction":
        needed |= USAGE_NOT_NULL
    if line["ChargeCategory"] == "Purchase":
        needed -= {"ConsumedQuantity", "ConsumedUnit"}
    return [f"{name} is null" for name in sorted(needed & set(line)) if line[name] == ""]


def judge_object(name, value):
    try:
        found = json.loads(value)
    except ValueError:
        return [f"{name} is no JSON"]
    if not isinstance(found, dict):
        return [f"{name} is no object"]
    return [f"{name}: {key} is no scalar" for key, item in found.items()
            if isinstance(item, (dict, list))]


def judge_value(name, value):
    if name in DECIMALS and not NUMBER.match(value):
        return [f"{name} is no decimal: {value!r}"]
    if name in TIMES and not TIME.match(value):
        return [f"{name} is no time: {value!r}"]
    if name in UNITS and not UNIT.match(value):
        return [f"{name} is no unit: {value!r}"]
    if name == "BillingCurrency" and not CURRENCY.match(value):
        return [f"{name} is no currency: {value!r}"]
    if name in OBJECTS:
        return judge_object(name, value)
    if value.strip() == "":
        return [f"{name} is blank, not null"]
    return []


def judge_values(line):
    wrong = [text for name, value in line.items() if value != ""
             for text in judge_value(name, value)]
    wrong += [f"{name} may not be {line[name]!r}" for name, values in ALLOWED.items()
              if name in line and line[name] not in values | {""}]
    if line["ServiceCategory"] == "Web" and \
            line.get("ServiceSubcategory", "Other (Web)") not in WEB_SUBCATEGORIES:
        wrong.append("ServiceSubcategory is none of Web's")
    return wrong


def judge_costs(line):
    """For usage without discounts, credits or commitments. The minor unit, to which billed costs
    are rounded, is what BilledCost shows; running rounding may move a line by one."""
    number = {name: decimal.Decimal(line[name]) for name in DECIMALS if line.get(name)}
    step = decimal.Decimal(1).scaleb(number["BilledCost"].as_tuple().exponent)
    wrong = []
    for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
        if price in number and number[price] * number["PricingQuantity"] != number[cost]:
            wrong.append(f"{cost} is not {price} times PricingQuantity")
    if number["BilledCost"] != number["EffectiveCost"]:
        wrong.append("BilledCost is not EffectiveCost, but nothing is amortised")
    if number["ContractedCost"] > number["ListCost"]:
        wrong.append("ContractedCost is above ListCost")
    if abs(number["EffectiveCost"] - number["ContractedCost"]) > step:
        wrong.append("EffectiveCost is not ContractedCost, but there are no discounts")
    if any(number[name] < 0 for name in number):
        wrong.append("a number is negative, but nothing is a correction")
    if number["ConsumedQuantity"] <= 0:
        wrong.append("ConsumedQuantity is not positive")
    return wrong


def judge_periods(line):
    time = {name: datetime.datetime.fromisoformat(line[name].replace("Z", "+00:00"))
            for name in TIMES}
    if time["BillingPeriodStart"] >= time["BillingPeriodEnd"]:
        return ["the billing period is empty"]
    if time["ChargePeriodStart"] >= time["ChargePeriodEnd"]:
        return ["the charge period is empty"]
    if (time["ChargePeriodStart"] < time["BillingPeriodStart"]
            or time["ChargePeriodEnd"] > time["BillingPeriodEnd"]):
        return ["the charge period reaches over the billing period"]
    return []


def judge_pairs(line):
    wrong = []
    for one, other in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit"),
                       ("ResourceId", "ResourceType"), ("SkuId", "SkuPriceId"),
                       ("SkuId", "SkuMeter"), ("SubAccountId", "SubAccountName")):
        if (line[one] == "") != (line[other] == ""):
            wrong.append(f"one of {one} and {other} is null")
    if line["ChargeFrequency"] == "Usage-Based" and line["ChargeCategory"] == "Purchase":
        wrong.append("a purchase can't be Usage-Based")
    return wrong


def judge_line(line):
    wrong = judge_nulls(line) + judge_values(line)
    if wrong:
        return wrong
    return judge_costs(line) + judge_periods(line) + judge_pairs(line)


# ---- All lines ----

def judge_uniqueness(lines):
    """A price belongs to one SKU; a service to one category; an account has one name."""
    wrong = []
    for one, other in (("SkuPriceId", "SkuId"), ("SkuId", "SkuMeter"), ("SkuId", "PricingUnit"),
                       ("ServiceName", "ServiceCategory"), ("SubAccountId", "SubAccountName"),
                       ("BillingAccountId", "BillingCurrency"), ("SkuPriceId", "ListUnitPrice")):
        seen = {}
        for line in lines:
            if seen.setdefault(line[one], line[other]) != line[other]:
                wrong.append(f"{one} {line[one]} has more than one {other}")
    return wrong


def judge(text):
    """What is wrong with the file; an empty list if nothing is."""
    lines, wrong = read(text)
    if wrong:
        return wrong
    wrong = [f"line {number}: {reason}" for number, line in enumerate(lines, 2)
             for reason in judge_line(line)]
    return wrong or judge_uniqueness(lines)
